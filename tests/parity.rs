//! `seatrial schedule` and `seatrial parity`, as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const GOLDEN: &str = "tests/golden/scheduler.jsonl.gz";
const ANSWERS: &str = "tests/golden/controllers/validation.jsonl.gz";
const CORPUS: &str = "scenarios/tests/corpus/recording/preemption.jsonl";

fn seatrial(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seatrial"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program can be run")
}

#[track_caller]
fn answer(arguments: &[&str], code: i32) -> String {
    let output = seatrial(arguments);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {messages}");
    String::from_utf8(output.stdout).expect("text")
}

/// A folder for the files of one test, which nobody else uses.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

#[test]
fn every_recorded_decision_of_the_real_scheduler_is_made_again() {
    let text = answer(&["parity", GOLDEN], 0);
    let row = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("no row {name}: {text}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(row("all")[1..3], ["190", "5825"], "{text}");
    assert!(row("equal")[1..].chunks(2).all(|cell| cell == ["100", "%"]), "{text}");
    assert!(row("preemption").iter().skip(1).all(|cell| !cell.contains('/')), "{text}");
}

#[test]
fn every_recorded_answer_of_the_real_api_server_is_given_again() {
    let folder = folder("answers");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let out = path("answers.jsonl");
    let text = answer(&["parity", ANSWERS, "--out", &out, "--format", "json"], 0);
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let all = &json["kinds"]["API answer"]["all"];
    assert_eq!(all["cases"], serde_json::json!({"equal": 186, "total": 186}), "{text}");
    let written = std::fs::read_to_string(out).expect("the answers were written");
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 186);
    let nowhere = lines.iter().find(|line| line["id"] == "op-bad-group").expect("it is among them");
    assert_eq!(
        *nowhere,
        serde_json::json!({"id": "op-bad-group", "code": 404, "raw": "404 page not found\n"})
    );

    // One that differs is found out, and where.
    let wrong = path("wrong.jsonl");
    let line = r#"{"id": "a", "request": {"method": "GET", "path": "/api/v1/pods", "query": "limit=x"},
        "expected": {"code": 200}, "stable": true}"#;
    std::fs::write(&wrong, line.replace('\n', "")).expect("a file can be written");
    let text = answer(&["parity", &wrong], 1);
    assert!(text.contains("a: code: found 400, recorded 200"), "{text}");
}

#[test]
fn decisions_are_written_and_a_wrong_recording_is_found_out() {
    let folder = folder("parity");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (decided, recorded) = (path("decided.jsonl"), path("recorded.jsonl"));
    assert_eq!(answer(&["schedule", CORPUS, "--out", &decided], 0), "");
    let decided = std::fs::read_to_string(decided).expect("the decisions were written");
    assert_eq!(answer(&["schedule", CORPUS], 0), decided);

    let mut case: Value =
        serde_json::from_str(&std::fs::read_to_string(CORPUS).expect("a case")).expect("JSON");
    assert!(answer(&["parity", CORPUS], 0).contains("1 recordings hold no answer to compare with"));
    let decisions: Value = serde_json::from_str(&decided).expect("JSON");
    case["expected"] = decisions["decisions"].clone();
    std::fs::write(&recorded, case.to_string()).expect("a file can be written");
    answer(&["parity", &recorded], 0);

    case["expected"][1]["outcome"] = "elsewhere".into();
    case["expected"][1]["node"] = "nowhere".into();
    std::fs::write(&recorded, case.to_string()).expect("a file can be written");
    let text = answer(&["parity", &recorded], 1);
    assert!(
        text.contains("found \"bound\", recorded \"elsewhere\"") || text.contains("recorded \"nowhere\""),
        "{text}"
    );
    assert!(answer(&["parity", &recorded, "--all"], 1).lines().count() > text.lines().count());
    let json: Value =
        serde_json::from_str(&answer(&["parity", &recorded, "--format", "json"], 1)).expect("JSON");
    assert_eq!(json["passed"], false);
    assert_eq!(json["kinds"]["scheduler case"]["all"]["cases"]["total"], 1);
    assert!(json["differences"].as_array().is_some_and(|list| !list.is_empty()));

    // A folder is read like the files in it, and answers are written for it likewise.
    let out = path("answers");
    let whole = folder.to_string_lossy().into_owned();
    std::fs::remove_file(path("decided.jsonl")).expect("a file can be removed");
    answer(&["parity", &whole, "--out", &out], 1);
    assert_eq!(std::fs::read_to_string(out).expect("the answers were written"), decided);
}

#[test]
fn what_cannot_be_played_is_refused_and_nothing_is_written() {
    let folder = folder("parity-refused");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (file, out) = (path("bad.jsonl"), path("out.jsonl"));
    std::fs::write(&file, "{\"id\": \"a\", \"pods\": 3}\n{\"id\": \"b\", \"steps\": []}\n").expect("a file");
    for command in ["schedule", "parity"] {
        let output = seatrial(&[command, &file, "--out", &out]);
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{messages}");
        assert!(messages.contains("bad.jsonl:1:21: pods: expected a list, found 3"), "{messages}");
        assert!(messages.contains("bad.jsonl:2:1: kubectl transcripts are not played yet"), "{messages}");
        assert!(!Path::new(&out).exists());
    }
    assert_eq!(seatrial(&["parity", "scenarios/tests/corpus/recording"]).status.code(), Some(0));
    assert_eq!(seatrial(&["parity", "src"]).status.code(), Some(2));
    assert_eq!(seatrial(&["parity", GOLDEN, "--kubernetes-version", "1.35"]).status.code(), Some(2));
}
