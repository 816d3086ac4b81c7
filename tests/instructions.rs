//! Not slower than before: a tenth of the cluster bench costs hardly more instructions per event
//! than the version that `golden/instructions.json` was written by. Times differ from one moment to
//! the next on shared machines, instructions do not.
//!
//! Only in a release build, where it is asked for by name in `.ci/run`, and with valgrind.
#![cfg(not(debug_assertions))]

use std::fs;
use std::process::Command;

use seatrial_benches::cluster::rollout;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/instructions.json");
/// An event may cost so many times what it cost before.
const RATIO_MAX: f64 = 1.1;

/// Set in the process whose instructions are counted: this test again.
const COUNTED: &str = "SEATRIAL_COUNTED";

#[test]
fn an_event_costs_no_more_instructions_than_before() {
    if std::env::var_os(COUNTED).is_some() {
        println!("events={}", rollout::busy_hour(rollout::TENTH).events());
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(std::env::var_os("SEATRIAL_FULL").is_none(), "valgrind is not installed");
        eprintln!("skipped: needs valgrind");
        return;
    }
    let program = std::env::current_exe().expect("a test knows its program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--exact", "an_event_costs_no_more_instructions_than_before", "--nocapture"])
        .env(COUNTED, "1")
        .output()
        .expect("valgrind can be started");
    let (said, counted) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{counted}");
    let events = number_after(&said, "events=").expect("it says how many events there were");
    let instructions = number_after(&counted, "Collected : ").expect("callgrind says what it counted");
    let per_event = instructions / events;
    eprintln!("{per_event:.0} instructions per event, {events} events");
    if std::env::var_os("SEATRIAL_ACCEPT").is_some() {
        fs::write(
            GOLDEN,
            format!("{{\"cluster bench, a tenth: instructions per event\": {per_event:.0}}}\n"),
        )
        .expect("the golden file can be written");
        return;
    }
    let golden = fs::read_to_string(GOLDEN).expect("the golden file can be read");
    let before = number_after(&golden, "per event\": ").expect("it holds a number");
    assert!(
        per_event <= before * RATIO_MAX,
        "{per_event:.0} instructions per event are more than {RATIO_MAX} times {before:.0}, those of before"
    );
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The number that follows a text.
fn number_after(text: &str, what: &str) -> Option<f64> {
    let (_, rest) = text.split_once(what)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
