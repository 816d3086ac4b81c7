//! The facts are derived as they were for the recordings.
#![expect(clippy::disallowed_methods, reason = "tests read the recordings")]

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::facts::{derive, same};

/// The recordings that are part of this repository.
fn scenarios() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/node");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the recordings are there")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .collect();
    paths.sort();
    let mut scenarios = Vec::new();
    for path in paths {
        let mut text = String::new();
        let file = std::fs::File::open(&path).expect("a readable file");
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("compressed text");
        scenarios.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
    }
    scenarios
}

#[test]
fn every_recorded_fact_follows_from_its_recorded_trace() {
    let mut count = 0;
    for scenario in scenarios() {
        let trace = scenario["trace"].as_array().expect("a trace");
        let found = derive(&scenario, trace);
        for (name, fact) in scenario["facts"].as_object().expect("facts") {
            let (mut found, value) = (found.get(name).cloned().unwrap_or_default(), &fact["value"]);
            if fact["prefix"] == true {
                found = super::compare::beginning(value, &found);
            }
            assert!(same(&found, value), "{}: {name}: {found} for {value}", scenario["id"]);
            count += 1;
        }
    }
    assert!(count > 5_000, "{count} facts");
}
