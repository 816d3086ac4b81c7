//! Mutation of scenarios on stable Rust: whatever is put into a file, loading it answers with a
//! cluster or with messages, and never with a panic. How long and from which seed: see the engine,
//! which the crate of the readers keeps.

#[path = "../../api/tests/fuzzing/mod.rs"]
mod fuzzing;

use std::collections::BTreeMap;
use std::path::PathBuf;

use fuzzing::fuzz;
use seatrial_api::document::{Diagnostics, Position};
use seatrial_api::units::Span;
use seatrial_api::version::KubernetesVersion;
use seatrial_scenarios::recordings::read_recordings;
use seatrial_scenarios::{Request, evaluate, load};
use seatrial_sim_core::results::{Evictions, Results};
use serde_json::Value;

const MANIFEST: &str = include_str!("bad/manifests/app.yaml");
const AUTOSCALER: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: cart, namespace: shop}
spec: {maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: nobody, namespace: shop}
spec:
  serviceName: nobody
  selector: {matchLabels: {app: nobody}}
  template:
    metadata: {labels: {app: nobody}}
    spec: {containers: [{name: a, image: 'a:1'}]}
";
const STATE: &str = "apiVersion: v1
kind: Pod
metadata: {name: a, namespace: default, uid: u, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {containers: [{name: a, image: 'a:1'}]}
";

#[test]
fn scenarios_are_loaded_or_refused() {
    let app = format!("{MANIFEST}---\n{AUTOSCALER}");
    let texts = [("manifests/app.yaml", app.as_str()), ("state.yaml", STATE)];
    let others = texts.map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()));
    let request = Request { scenario: Some("s.yaml".into()), ..Request::default() };
    fuzz("scenario", "scenarios_are_loaded_or_refused", |input| {
        let mut files = BTreeMap::from(others.clone());
        files.insert("s.yaml".into(), input.to_vec());
        match load(&files, &request) {
            Ok(loaded) => {
                assert!(!loaded.warnings.has_errors());
                assert!(loaded.config.duration > Span::ZERO);
                // Every expectation can be judged, also over a run that left nothing behind.
                let outcomes = evaluate(&loaded.expectations, &no_results(loaded.config.duration));
                assert_eq!(outcomes.len(), loaded.expectations.len());
            }
            Err(findings) => {
                assert!(findings.has_errors(), "refused without a reason");
                let lines = input.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count() + 1;
                for error in findings.errors() {
                    let placed = error.position != Position::NONE || &*error.file != "s.yaml";
                    assert!(placed, "no place: {error}");
                    assert!(error.position.line as usize <= lines + 1 || &*error.file != "s.yaml", "{error}");
                }
            }
        }
    });
}

fn no_results(simulated: Span) -> Results {
    Results {
        name: String::new(),
        seed: 0,
        trace_hash: 0,
        events: 0,
        simulated,
        start_unix_seconds: 0,
        event_rows: Vec::new(),
        pods: Vec::new(),
        nodes: Vec::new(),
        services: Vec::new(),
        series: Vec::new(),
        faults: Vec::new(),
        evictions: Evictions::default(),
        cost_usd: 0.0,
        not_played: Vec::new(),
    }
}

#[test]
fn recordings_are_played_or_refused() {
    fuzz("recording", "recordings_are_played_or_refused", |input| {
        let mut findings = Diagnostics::new();
        for line in read_recordings("r.jsonl", input, KubernetesVersion::default(), &mut findings) {
            drop((line.recording.answer(), line.recording.compare()));
        }
        let lines = input.iter().filter(|&&byte| byte == b'\n').count() + 1;
        for finding in findings.iter().filter(|finding| finding.position != Position::NONE) {
            assert!(finding.position.line as usize <= lines, "{finding}");
        }
    });
}

/// What a value is replaced by.
const JUNK: &str = r#"[null, true, -1, 0, 1.5, 9223372036854775807, 18446744073709551615, "", "*", "a/b/c",
    "9223372036854775807", "-1", "1e400", "Exists", [], [null], {}, {"": ""}, [{"key": ""}], "\u0000"]"#;

#[test]
fn recordings_with_other_values_are_played_or_refused() {
    let junk: Vec<Value> = serde_json::from_str(JUNK).expect("a list");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/recording");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let read = |path| serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("a case");
    let cases: Vec<Value> = paths.iter().map(read).collect();
    fuzz("recording", "recordings_with_other_values_are_played_or_refused", |input| {
        // The mutated bytes are not read: they say what is to be replaced, and where.
        let mut draw = input.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut case = cases[draw as usize % cases.len()].clone();
        for _ in 0..=draw % 3 {
            replace(&mut case, &junk, &mut draw);
        }
        let mut findings = Diagnostics::new();
        let version = KubernetesVersion::default();
        for line in read_recordings("r.jsonl", case.to_string().as_bytes(), version, &mut findings) {
            drop((line.recording.answer(), line.recording.compare()));
        }
    });
}

/// Goes down to some value and replaces or removes it.
fn replace(value: &mut Value, junk: &[Value], draw: &mut u64) {
    let mut below = |count: usize| {
        *draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*draw >> 33) as usize % count
    };
    let mut here = value;
    for depth in 0.. {
        let inside = match here {
            Value::Object(fields) => fields.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        };
        if inside == 0 || depth > 1 && below(5) == 0 {
            break;
        }
        let chosen = below(inside);
        here = match here {
            Value::Object(fields) => {
                let key = fields.keys().nth(chosen).cloned().expect("a key");
                if below(12) == 0 {
                    fields.remove(&key);
                    return;
                }
                fields.get_mut(&key).expect("a value")
            }
            Value::Array(list) => &mut list[chosen],
            _ => unreachable!("it has values inside"),
        };
    }
    *here = junk[below(junk.len())].clone();
}
