//! The terminal's answer and the summary, against golden files. `SEATRIAL_ACCEPT=1` rewrites them.

use std::fs;
use std::path::Path;

use seatrial_api::units::Span;
use seatrial_reports::{Summary, text};
use seatrial_sim_core::results::{ExpectationOutcome, Results};

use crate::made_up::{Size, empty, outcomes, report, zone_loss};

fn small() -> Results {
    zone_loss(Size { nodes: 12, deployments: 3, replicas: 10 })
}

fn check_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports/golden").join(name);
    if std::env::var_os("SEATRIAL_ACCEPT").is_some() {
        fs::write(&path, found).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{name} differs; if that is right, run again with SEATRIAL_ACCEPT=1");
}

#[test]
fn the_answer_tells_the_verdict_first_and_fits_a_hundred_columns() {
    let (results, outcomes) = (small(), outcomes());
    let summary = Summary::new(&report(&results, &outcomes));
    let folder = Some("out".into());
    let answer = text::render(&summary, &text::Options { colour: false, folder });
    check_golden("answer.txt", &answer);
    assert!(answer.starts_with("FAIL"));
    assert!(answer.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn a_run_in_which_nothing_happened_has_an_answer_too() {
    let results = empty("quiet");
    let summary = Summary::new(&report(&results, &[]));
    check_golden("quiet.txt", &text::render(&summary, &text::Options::default()));
}

#[test]
fn colours_come_only_when_asked_for_and_change_no_text() {
    let (results, outcomes) = (small(), outcomes());
    let summary = Summary::new(&report(&results, &outcomes));
    let plain = text::render(&summary, &text::Options::default());
    let coloured = text::render(&summary, &text::Options { colour: true, folder: None });
    assert!(!plain.contains('\x1b'));
    assert!(coloured.contains("\x1b[31mFAIL\x1b[0m"));
    let mut stripped = coloured;
    for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"] {
        stripped = stripped.replace(code, "");
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&stripped), trimmed(&plain));
}

#[test]
fn the_summary_has_stable_keys_in_a_stable_order() {
    let (results, outcomes) = (small(), outcomes());
    check_golden("summary.json", &Summary::new(&report(&results, &outcomes)).to_json());
}

#[test]
fn no_text_from_outside_can_move_the_cursor() {
    let mut results = empty("\x1b[2Jname");
    results.faults.clear();
    let outcome = ExpectationOutcome {
        name: "e\x07".to_owned(),
        passed: false,
        at: None,
        object: "pod \x1b]0;x\x07".to_owned(),
        found: "a\rb".to_owned(),
        expected: "c".to_owned(),
    };
    let outcomes = [outcome];
    let summary = Summary::new(&report(&results, &outcomes));
    let answer = text::render(&summary, &text::Options::default());
    assert!(answer.chars().all(|c| c == '\n' || !c.is_control()), "{answer:?}");
}

#[test]
fn pods_of_a_state_dump_do_not_count_for_latencies() {
    let mut results = small();
    let made_here = Summary::new(&report(&results, &[])).start_latency.expect("pods started");
    let mut old = results.pods[0].clone();
    old.created = seatrial_api::units::SimTime::ZERO - Span::from_hours(1_000);
    results.pods.push(old);
    let summary = Summary::new(&report(&results, &[]));
    assert_eq!(summary.start_latency, Some(made_here));
    assert_eq!(summary.pods.created as usize, results.pods.len());
}

#[test]
fn every_pod_is_counted_once() {
    let summary = Summary::new(&report(&small(), &[]));
    let pods = &summary.pods;
    let sum = pods.running + pods.pending + pods.succeeded + pods.failed + pods.unknown + pods.deleted;
    assert_eq!(sum, pods.created);
    let told: u64 = pods.pending_reasons.iter().map(|group| group.pods).sum();
    assert_eq!(told, pods.pending);
}
