//! Recorded scenarios of the real kubelet, played by `seatrial parity`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const GOLDEN: &str = "tests/golden/node";

/// Facts that say which of two states of a pod was never written, because the next one came while
/// the kubelet was still writing the one before; in one case, which of two events of one instant
/// came first. That hung on how busy the machine was on which the recording was made: other
/// scenarios that begin alike show the opposite.
const BY_CHANCE: [(&str, &[&str]); 14] = [
    ("crash-reset", &["conditionSequence", "conditions", "readiness", "statusTimes"]),
    ("deadline-patch", &["conditionSequence", "statusSequence"]),
    ("http-redirect-404", &["conditions", "containers"]),
    ("kubelet-crash", &["conditions"]),
    (
        "kubelet-create-down",
        &["addresses", "conditionSequence", "conditions", "containers", "statusSequence"],
    ),
    ("kubelet-startup", &["statusSequence"]),
    ("probe-error", &["conditionSequence", "conditions"]),
    ("restart-onfailure-two", &["conditions", "containers", "readiness"]),
    ("sandbox-dies-sidecar", &["readiness"]),
    ("start-guaranteed", &["conditionSequence", "statusSequence"]),
    ("start-one", &["conditionSequence", "statusSequence"]),
    ("term-crash-order", &["eventOrder"]),
    ("term-recreate", &["conditionSequence", "statusSequence"]),
    ("term-shorten", &["conditionSequence", "statusSequence"]),
];

fn seatrial(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seatrial"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program can be run")
}

#[test]
fn the_kubelet_does_what_the_real_one_did() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubelet-parity.jsonl");
    let out = out.to_str().expect("a path in text");
    let output = seatrial(&["parity", GOLDEN, "--out", out, "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = &json["kinds"]["node scenario"]["all"];
    assert_eq!(all["cases"]["total"], 228);

    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for difference in json["differences"].as_array().expect("a list") {
        let (id, fact) = (difference["id"].as_str(), difference["fact"].as_str());
        found.entry(id.expect("an id")).or_default().insert(fact.expect("a fact"));
    }
    let by_chance = BY_CHANCE.map(|(id, facts)| (id, facts.iter().copied().collect()));
    assert_eq!(found, BTreeMap::from(by_chance));
    check_with_definition(out, all);
}

/// The recordings' own definition of the facts, where it is at hand, counts the same as equal.
fn check_with_definition(out: &str, all: &Value) {
    let data = std::env::var("SEATRIAL_DATA").unwrap_or_default();
    let definition = Path::new(&data).join("../golden/node/facts.py");
    if !definition.exists() {
        return;
    }
    let mut command = Command::new("python3");
    command.arg(definition).current_dir(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN)).expect("a folder") {
        command.arg(entry.expect("a file").path());
    }
    let Ok(output) = command.args(["--got", out]).output() else { return };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let kinds = text.split("facts by kind").nth(1).expect("a table by kind");
    let row = kinds.lines().find(|line| line.starts_with("all ")).expect("a sum");
    let counts: Vec<u64> = row.split_whitespace().filter_map(|cell| cell.parse().ok()).collect();
    let facts =
        all.as_object().expect("a row").iter().filter(|(key, _)| !matches!(&***key, "cases" | "pods"));
    let sum = |key: &str| facts.clone().filter_map(|(_, count)| count[key].as_u64()).sum::<u64>();
    assert_eq!(counts[..2], [sum("equal"), sum("total")]);
}
