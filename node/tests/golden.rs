//! Recorded scenarios of the real kubelet, played with ours: the share of recorded facts that it
//! shows must not fall. Full conformance is a goal of its own; what is missing is listed in the
//! crate's documentation.

mod replay;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use replay::facts::is_shown;
use serde_json::Value;

/// Facts that were shown when this was last looked at, of 100 of each kind.
const LEAST: [(&str, usize); 9] = [
    ("phases", 94),
    ("lifecycle", 91),
    ("removal", 97),
    ("cri", 89),
    ("startCounts", 91),
    ("starts", 91),
    ("kills", 91),
    ("exits", 92),
    ("sandboxes", 97),
];

fn scenarios(folder: &Path) -> Vec<Value> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
    let mut paths: Vec<_> = entries.unwrap_or_default().into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".jsonl.gz"));
    paths.sort();
    let mut scenarios = Vec::new();
    for path in paths {
        let mut text = String::new();
        let file = std::fs::File::open(&path).expect("a readable file");
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("compressed text");
        scenarios.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
    }
    scenarios
}

#[test]
fn recorded_scenarios_come_out_as_recorded() {
    let data = std::env::var("SEATRIAL_DATA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let scenarios = scenarios(&data.join("../golden/node"));
    if scenarios.is_empty() {
        println!("skipped: needs the recordings beside SEATRIAL_DATA");
        return;
    }
    let mut shown: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for scenario in &scenarios {
        let trace = replay::play(scenario).unwrap_or_else(|why| {
            println!("{} is not played: {why}", scenario["id"]);
            Vec::new()
        });
        for (name, fact) in scenario["facts"].as_object().into_iter().flatten() {
            let Some(equal) = is_shown(name, fact, &trace) else { continue };
            let kind = name.split(' ').next().unwrap_or("");
            let (equals, all) = shown.entry(kind.to_string()).or_default();
            *equals += usize::from(equal);
            *all += 1;
        }
    }
    for (kind, least) in LEAST {
        let (equal, all) = shown.get(kind).copied().unwrap_or_default();
        println!("{kind}: {equal} of {all}");
        assert!(
            equal * 100 >= least * all,
            "{kind}: {equal} of {all} facts, at least {least} % were shown before"
        );
    }
}
