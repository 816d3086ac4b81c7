//! `seatrial sweep`, `compare` and `policy`, as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn seatrial(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seatrial"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// A folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("it can be made");
    folder
}

/// An experiment on a small cluster.
fn experiment(folder: &Path) -> String {
    let scenario = "apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {name: small}\nfor: 10m\nnodes:\n  \
        - {name: worker, count: 3, capacity: {cpu: 4, memory: 8Gi, pods: 110}}\nmanifests:\n  - |\n    apiVersion: batch/v1\n    kind: Job\n    metadata: {name: work}\n    \
        spec:\n      completions: 12\n      parallelism: 12\n      template:\n        spec:\n          restartPolicy: Never\n          \
        containers:\n            - {name: c, image: work, resources: {requests: {cpu: 1500m, memory: 1Gi}}}\npodProfiles:\n  \
        - {selector: {}, runTime: {distribution: exponential, mean: 40s}}\n";
    let experiment = "apiVersion: seatrial/v1\nkind: Experiment\nmetadata: {name: small}\nscenario: small.yaml\n\
        seeds: 1..5\nfactors:\n  policy: [default, first-fit, round-robin]\n  nodes.worker.count: [2, 4]\n";
    std::fs::write(folder.join("small.yaml"), scenario).expect("it can be written");
    let path = folder.join("experiment.yaml");
    std::fs::write(&path, experiment).expect("it can be written");
    path.display().to_string()
}

#[test]
fn the_table_is_the_same_with_any_number_of_threads() {
    let folder = folder("sweep-threads");
    let experiment = experiment(&folder);
    let one = seatrial(&["sweep", &experiment, "--threads", "1"]);
    assert!(one.status.success(), "{}", text(&one.stderr));
    let table = text(&one.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 3 * 2 * 5);
    assert!(lines[0].starts_with("policy,nodes.worker.count,seed,trace_hash,passed,"), "{}", lines[0]);
    let keys: Vec<String> =
        lines[1..].iter().map(|line| line.split(',').take(3).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(
        keys[..6],
        ["default,2,1", "default,2,2", "default,2,3", "default,2,4", "default,2,5", "default,4,1"]
    );
    for threads in ["2", "5"] {
        let out = folder.join(format!("{threads}.csv"));
        let many =
            seatrial(&["sweep", &experiment, "--threads", threads, "--out", &out.display().to_string()]);
        assert!(many.status.success() && many.stdout.is_empty(), "{}", text(&many.stderr));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), table, "{threads} threads");
    }
}

#[test]
fn a_sweep_can_be_compared() {
    let folder = folder("sweep-compare");
    let out = folder.join("runs.csv").display().to_string();
    let swept = seatrial(&["sweep", &experiment(&folder), "--out", &out]);
    assert!(swept.status.success(), "{}", text(&swept.stderr));
    let compared = seatrial(&["compare", &out, "--by", "nodes.worker.count", "--format", "json"]);
    assert!(compared.status.success(), "{}", text(&compared.stderr));
    let json: serde_json::Value = serde_json::from_slice(&compared.stdout).expect("it prints JSON");
    let makespan =
        json["differences"].as_array().unwrap().iter().find(|one| one["metric"] == "makespan_s").unwrap();
    // Twice the machines, and the same run times on both sides.
    assert_eq!((&makespan["verdict"], &makespan["pairs"]), (&"better".into(), &15.into()));
    let by_policy = seatrial(&["compare", &out, "--by", "policy", "--baseline", "first-fit"]);
    assert!(text(&by_policy.stdout).starts_with("policy against first-fit"));
    let wrong = seatrial(&["compare", &out, "--by", "colour"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("there is no factor colour"));
}

#[test]
fn an_experiment_with_errors_is_refused_as_a_whole() {
    let folder = folder("sweep-errors");
    let path = experiment(&folder);
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("first-fit", "furst-fit").replace("[2, 4]", "[2, none]")).unwrap();
    let out = folder.join("never.csv");
    let refused = seatrial(&["sweep", &path, "--out", &out.display().to_string()]);
    assert_eq!(refused.status.code(), Some(2));
    let message = text(&refused.stderr);
    for part in [
        "experiment.yaml:7:21: policy: there is no policy furst-fit (did you mean first-fit?)",
        "experiment.yaml:8:27",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!out.exists(), "nothing is half written");
}

#[test]
fn policies_are_listed_and_shown() {
    let list = text(&seatrial(&["policy", "list"]).stdout);
    assert!(list.lines().count() >= 8 && list.starts_with("default "), "{list}");
    for line in list.lines() {
        let name = line.split_whitespace().next().unwrap();
        let shown = text(&seatrial(&["policy", "show", name]).stdout);
        for part in [name, "What ", "Formula ", "Source ", "Parameters "] {
            assert!(shown.contains(part), "{name}: {shown}");
        }
    }
    let unknown = seatrial(&["policy", "show", "tetriss"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("expected one of default, "));
}
