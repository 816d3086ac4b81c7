//! Recorded scenarios of the real workload controllers, played with ours: the share of recorded
//! facts that they show must not fall. What differs are Events that the real recorder drops, and
//! races of a hundredth of a second. Not compared is what others decide: nodes, volumes, answers of
//! the API server.
#![allow(unreachable_pub, reason = "the modules of a test crate are its own")]

mod facts;
mod play;
mod trace;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use facts::Facts;
use serde_json::Value;

const AREAS: [&str; 5] = ["replicaset", "deployment", "statefulset", "daemonset", "job"];

/// Facts that were shown when this was last looked at, of 100 of each kind.
const LEAST: [(&str, usize); 11] = [
    ("conditions", 100),
    ("envelope", 100),
    ("events", 97),
    ("finalObjects", 100),
    ("finalPods", 100),
    ("jobPods", 96),
    ("podOrder", 100),
    ("podOrderPerNode", 100),
    ("replicaTargets", 100),
    ("statusSequence", 98),
    ("victimAttributes", 100),
];

fn scenarios(path: &Path) -> Vec<Value> {
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("compressed text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn recorded_scenarios_come_out_as_recorded() {
    let data = std::env::var("SEATRIAL_DATA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = data.join("../golden/controllers");
    let scenarios: Vec<Value> =
        AREAS.iter().flat_map(|area| scenarios(&folder.join(format!("{area}.jsonl.gz")))).collect();
    if scenarios.is_empty() {
        println!("skipped: needs the recordings beside SEATRIAL_DATA");
        return;
    }
    let mut shown: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for scenario in &scenarios {
        let id = scenario["id"].as_str().unwrap_or("");
        let trace = match play::play(scenario) {
            Ok(trace) => trace,
            Err(why) => {
                println!("{id} is not played: {why}");
                continue;
            }
        };
        let facts = Facts::new(scenario, &trace);
        for (name, fact) in scenario["facts"].as_object().into_iter().flatten() {
            let Some(equal) = facts.shows(name, fact) else { continue };
            let (equals, all) = shown.entry(name.split(' ').next().unwrap_or("")).or_default();
            *equals += usize::from(equal);
            *all += 1;
            if !equal {
                println!("{id} differs: {name}");
            }
        }
    }
    for (kind, least) in LEAST {
        let (equal, all) = shown.get(kind).copied().unwrap_or_default();
        println!("{kind}: {equal} of {all}");
        assert!(
            all > 0 && equal * 100 >= least * all,
            "{kind}: {equal} of {all} facts, at least {least} % were shown before"
        );
    }
}
