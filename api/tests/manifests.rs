//! Real manifests and objects of real clusters are decoded without a finding.

use std::path::{Path, PathBuf};

use seatrial_api::calendar::Calendar;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, ObjectReader};
use seatrial_api::object::{Kind, Object};
use seatrial_api::version::KubernetesVersion;

/// Decodes all objects of a file and asserts that nothing is to be said about them.
fn decode_all(path: &Path, mode: Mode) -> Vec<Object> {
    let bytes = std::fs::read(path).expect("a readable file");
    let mut decoder = Decoder::new(mode, Calendar::default(), KubernetesVersion::default());
    let mut reader = ObjectReader::new(&path.display().to_string(), &bytes);
    let (mut findings, mut objects) = (Diagnostics::new(), Vec::new());
    while let Some(node) = reader.next(&mut findings) {
        let file = reader.file().clone();
        objects.extend(decoder.decode(&node, &file, &mut findings));
    }
    assert!(findings.is_empty(), "{findings}");
    objects
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/decode").join(name)
}

#[test]
fn each_kind_is_decoded_with_all_that_it_can_say() {
    let objects = decode_all(&corpus("workloads.yaml"), Mode::Manifest);
    let kinds: Vec<Kind> = objects.iter().map(Object::kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::StatefulSet,
            Kind::DaemonSet,
            Kind::Job,
            Kind::HorizontalPodAutoscaler,
            Kind::HorizontalPodAutoscaler,
            Kind::PodDisruptionBudget,
            Kind::Service,
            Kind::Service,
            Kind::Secret,
            Kind::ConfigMap,
            Kind::PriorityClass,
            Kind::EndpointSlice,
            Kind::ControllerRevision,
            Kind::Untyped,
        ]
    );
}

#[test]
fn objects_of_a_cluster_are_decoded_as_state_and_as_manifests() {
    let state = decode_all(&corpus("cluster.json"), Mode::State);
    assert!(state.iter().any(|object| matches!(object, Object::Pod(pod) if pod.meta.is_deleting())));
    assert_eq!(decode_all(&corpus("cluster.json"), Mode::Manifest).len(), state.len());
}

#[test]
fn published_manifests_are_decoded() {
    let root = std::env::var("SEATRIAL_DATA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(root.join("manifests")) else {
        println!("skipped: needs the manifests in SEATRIAL_DATA");
        return;
    };
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
        assert!(!decode_all(&path, Mode::Manifest).is_empty(), "{}", path.display());
    }
}
