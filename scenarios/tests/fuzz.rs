//! Mutation of scenarios on stable Rust: whatever is put into a file, loading it answers with a
//! cluster or with messages, and never with a panic. How long and from which seed: see the engine,
//! which the crate of the readers keeps.

#[path = "../../api/tests/fuzzing/mod.rs"]
mod fuzzing;

use std::collections::BTreeMap;
use std::path::PathBuf;

use fuzzing::fuzz;
use seatrial_api::document::Position;
use seatrial_api::units::Span;
use seatrial_scenarios::{Request, evaluate, load};
use seatrial_sim_core::results::{Evictions, Results};

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
