//! The example is what docs/policy.md says, and does what it says.

use std::process::Command;

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR")))
        .expect("a file of the repository")
}

#[test]
fn the_policy_is_short_and_stands_in_the_page() {
    let source = read("src/lib.rs");
    assert!(source.lines().count() < 40, "{} lines", source.lines().count());
    let page = read("../../../docs/policy.md");
    assert!(page.contains(&source), "docs/policy.md shows another policy");
    assert!(page.contains(&read("scenario.yaml")), "docs/policy.md shows another scenario");
}

#[test]
fn the_program_plays_it_and_prints_what_the_page_shows() {
    let output = Command::new(env!("CARGO_BIN_EXE_my-policy")).output().expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let figures = |policy: &str| -> Vec<f64> {
        let line = printed.lines().find(|line| line.starts_with(policy)).expect("a line for each policy");
        line.split_whitespace().skip(1).map(|cell| cell.parse().expect("a number")).collect()
    };
    let (packing, ours) = (figures("most-allocated"), figures("fewest-siblings"));
    assert!(ours[0] > packing[0], "pods that are apart are not lost at once\n{printed}");
    assert!(ours[1] < packing[1], "no application is gone as a whole with one machine\n{printed}");
    assert!(
        read("../../../docs/policy.md").contains(&printed),
        "docs/policy.md shows other figures than\n{printed}"
    );
}
