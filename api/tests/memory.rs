//! How much memory reading takes: at most ten times the file, whatever is in it. Each reading is a
//! process of its own, whose peak the kernel tells.

use std::process::Command;

use seatrial_api::calendar::Calendar;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, ObjectReader};
use seatrial_api::version::KubernetesVersion;

/// Says to the child which shape it is to read.
const SHAPE: &str = "SEATRIAL_MEMORY_SHAPE";
/// Size of a file in bytes: large enough that what a process takes anyhow does not matter.
const FILE_BYTES: usize = 2 << 20;
/// How many times the file may be in memory, its own text included.
const TIMES_MAX: usize = 10;

/// Documents of many small values, by name: what comes first, what comes again and again, what
/// comes last.
const SHAPES: [(&str, [&str; 3]); 9] = [
    ("numbers in one line", ["spec: [", "0,", "0]\n"]),
    ("numbers line by line", ["spec:\n", "- 0\n", "- 0\n"]),
    ("texts", ["spec: [", "a,", "a]\n"]),
    ("longer texts", ["spec: [", "\"this is no short text\",", "a]\n"]),
    ("nulls", ["spec: [", "~,", "~]\n"]),
    ("empty lists", ["spec: [", "[],", "[]]\n"]),
    ("small mappings", ["spec: [", "{a: 1},", "{}]\n"]),
    ("aliases", ["anchor: &a {b: 1}\nspec: [", "*a ,", "*a ]\n"]),
    ("small mappings with aliases", ["anchor: &a {b: 1}\nspec: [", "{a: *a },", "{}]\n"]),
];

fn document(shape: &str) -> String {
    let (_, [begin, again, end]) = SHAPES.into_iter().find(|(name, _)| *name == shape).expect("a shape");
    let mut text = String::with_capacity(FILE_BYTES + 200);
    text.push_str("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n");
    text.push_str(begin);
    while text.len() < FILE_BYTES {
        text.push_str(again);
    }
    text.push_str(end);
    text
}

/// The most memory that this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak is told");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok());
    kib.expect("a number") << 10
}

/// Reads a file of a shape, and prints what that took besides the process itself.
fn read(shape: &str) {
    let before = peak();
    let text = document(shape);
    let mut findings = Diagnostics::new();
    let mut reader = ObjectReader::new("big.yaml", text.as_bytes());
    let mut decoder = Decoder::new(Mode::Manifest, Calendar::default(), KubernetesVersion::default());
    let mut objects = Vec::new();
    while let Some(node) = reader.next(&mut findings) {
        objects.extend(decoder.decode(&node, &reader.file().clone(), &mut findings));
    }
    assert_eq!((objects.len(), findings.error_count()), (1, 0), "{findings}");
    println!("took {}", peak() - before);
}

#[test]
fn reading_takes_at_most_ten_times_the_file() {
    if let Ok(shape) = std::env::var(SHAPE) {
        return read(&shape);
    }
    if !cfg!(target_os = "linux") {
        println!("skipped: needs the peak of a process as Linux tells it");
        return;
    }
    let program = std::env::current_exe().expect("this program has a path");
    for (shape, _) in SHAPES {
        let mut child = Command::new(&program);
        child.args(["--exact", "reading_takes_at_most_ten_times_the_file", "--nocapture"]);
        let output = child.env(SHAPE, shape).output().expect("a child can be started");
        let said = String::from_utf8_lossy(&output.stdout);
        let took = said.lines().find_map(|line| line.split_once("took ")?.1.trim().parse::<usize>().ok());
        let took =
            took.unwrap_or_else(|| panic!("{shape}: {said}{}", String::from_utf8_lossy(&output.stderr)));
        assert!(took > FILE_BYTES, "{shape}: the text alone takes more than {took}");
        let times = took as f64 / FILE_BYTES as f64;
        println!("{shape}: {times:.1} times the file");
        assert!(took <= TIMES_MAX * FILE_BYTES, "{shape}: {times:.1} times the file");
    }
}
