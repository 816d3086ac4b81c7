//! What the real controllers did in recorded scenarios, ours do again; and our definition of every
//! fact is that of the recordings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const GOLDEN: &str = "tests/golden/controllers";

/// Facts that differ: all are decided by milliseconds, which are chance in the real thing and the same
/// for all here.
const KNOWN: &[(&str, &[&str])] = &[
    // How many pods become ready between two looks of a controller is chance.
    ("dep-rollpar-a", &["events"]),
    // Upstream goes through a map of nodes, so the tenth Event, from which on they are combined, is any.
    ("ds-roll-b", &["events"]),
    // Likewise.
    (
        "gc-deploy-b",
        &[
            "statusSequence deploy:web (replicas,updatedReplicas,readyReplicas,availableReplicas,unavailableReplicas)",
            "statusSequence rs:web@1 (replicas,readyReplicas,availableReplicas)",
        ],
    ),
    // A pod ends just before or just after its Job is looked at.
    (
        "job-indexed-d",
        &[
            "jobPods job:pi",
            "statusSequence job:pi (active,ready,terminating,succeeded,failed,completedIndexes,failedIndexes)",
        ],
    ),
    // The nodes were made so shortly before that they were registered after the beginning.
    ("node-loss-a", &["events"]),
    // Which of three Deployments made at once is first, is chance.
    (
        "node-tolsec-a",
        &[
            "conditions deploy:t0",
            "events",
            "podOrder rs:t0@1",
            "statusSequence deploy:t0 (replicas,updatedReplicas,readyReplicas,availableReplicas,unavailableReplicas)",
            "statusSequence rs:t0@1 (replicas,readyReplicas,availableReplicas)",
        ],
    ),
    // Whether a budget is looked at before its pods are seen, and how often, is chance.
    ("pdb-min-a", &["eventCounts"]),
    // Likewise.
    ("pdb-min-b", &["eventCounts"]),
    // Likewise.
    ("pdb-pending-a", &["events"]),
    // Likewise.
    ("pdb-unhealthy-a", &["eventCounts", "events"]),
    // Likewise.
    (
        "preempt-d",
        &[
            "statusSequence deploy:hi (replicas,updatedReplicas,readyReplicas,availableReplicas,unavailableReplicas)",
            "statusSequence rs:hi@1 (replicas,readyReplicas,availableReplicas)",
        ],
    ),
    // The nodes of a shared cluster are looked at from any of them on.
    ("sts-fail-a", &["eventCounts", "events"]),
    // Likewise.
    (
        "sts-roll-b",
        &["statusSequence sts:db (replicas,readyReplicas,currentReplicas,updatedReplicas,availableReplicas)"],
    ),
    // Which of two pods made at once is first, is chance.
    ("sts-rollmaxunav-a", &["events"]),
    // The tainting worker looks before or after the pass has told of the second zone.
    ("zone-all-a", &["events", "taints"]),
];

/// How many milestones must be near, in per cent.
const MILESTONES: u64 = 98;

fn parity(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_seatrial"))
        .args(["parity", GOLDEN, "--format", "json"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program can be run");
    let messages = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {messages}"))
}

/// Equal and total of a count.
fn count(count: &Value) -> (u64, u64) {
    (count["equal"].as_u64().expect("a number"), count["total"].as_u64().expect("a number"))
}

/// The sums of the stable facts and of the milestones.
fn sums(answer: &Value) -> ((u64, u64), (u64, u64)) {
    let all = answer["kinds"]["controller scenario"]["all"].as_object().expect("counts by kind of fact");
    let facts = all.iter().filter(|(name, _)| !["cases", "pods", "milestones"].contains(&name.as_str()));
    let facts = facts.map(|(_, value)| count(value)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (facts, count(&all["milestones"]))
}

#[test]
fn recorded_scenarios_come_out_as_recorded() {
    let answer = parity(&["--all"]);
    let known: BTreeMap<&str, &[&str]> = KNOWN.iter().copied().collect();
    let mut unknown = Vec::new();
    for difference in answer["differences"].as_array().expect("a list") {
        if difference["fact"] != "milestones" {
            let id = difference["id"].as_str().expect("a name");
            let fact = difference["at"].as_str().expect("a fact");
            if !known.get(id).is_some_and(|facts| facts.contains(&fact)) {
                unknown.push(difference);
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    let (facts, milestones) = sums(&answer);
    assert_eq!((facts.1, milestones.1), (1760, 5169));
    assert!(milestones.0 * 100 >= MILESTONES * milestones.1, "{milestones:?}");
}

/// The definition of the facts, which comes with the recordings and not with this repository.
fn definition() -> Option<PathBuf> {
    let data = std::env::var("SEATRIAL_DATA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = data.join("../golden/controllers/facts.py");
    path.exists().then_some(path)
}

#[test]
fn the_definition_of_the_facts_counts_what_we_count() {
    let Some(definition) = definition() else {
        println!("skipped: needs facts.py beside SEATRIAL_DATA");
        return;
    };
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("SEATRIAL_FULL").is_none(), "needs python3");
        println!("skipped: needs python3");
        return;
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("controllers.jsonl");
    let answer = parity(&["--out", &out.to_string_lossy()]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let mut recordings: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the recordings").map(|file| file.expect("a file").path()).collect();
    recordings.sort();
    let output = Command::new("python3").arg(definition).args(recordings).arg("--got").arg(&out).output();
    let text = String::from_utf8(output.expect("python3 can be run").stdout).expect("text");
    // The row "all" of each table: cases, stable facts, milestones.
    let rows: Vec<(u64, u64)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, equal, total) = (words.next()?, words.next()?, words.next()?);
            (name == "all").then(|| (equal.parse().expect("a number"), total.parse().expect("a number")))
        })
        .collect();
    let (facts, milestones) = sums(&answer);
    let cases = count(&answer["kinds"]["controller scenario"]["all"]["cases"]);
    assert_eq!(rows, [cases, facts, milestones], "{text}");
}
