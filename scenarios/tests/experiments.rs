//! What is made of experiments, and what is said of those that are not in order.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::Folder;
use seatrial_scenarios::{Experiment, read_experiment};

const SCENARIO: &str = "apiVersion: seatrial/v1
kind: Scenario
metadata: {name: base}
nodes:
  - {name: worker, count: 2, capacity: {cpu: 4, memory: 8Gi, pods: 110}}
  - {name: spare, count: 1, capacity: {cpu: 4, memory: 8Gi, pods: 110}}
faults:
  - {name: loss, at: 10m, type: crash, target: {node: worker-0}}
";

fn files(experiment: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let text = format!("apiVersion: seatrial/v1\nkind: Experiment\nmetadata: {{name: it}}\n{experiment}");
    BTreeMap::from([
        ("runs/e.yaml".into(), text.into_bytes()),
        ("runs/../base.yaml".into(), SCENARIO.as_bytes().to_vec()),
    ])
}

fn read(experiment: &str) -> Result<Experiment, String> {
    let files = files(experiment);
    read_experiment(&files, Path::new("runs/e.yaml")).map_err(|findings| findings.to_string())
}

/// Everything that is said about an experiment, from its own fields or from what they make of the
/// scenario.
fn refusal(experiment: &str) -> String {
    let files = files(experiment);
    match read(experiment) {
        Err(findings) => findings,
        Ok(experiment) => experiment.load(&files).expect_err("it has errors").to_string(),
    }
}

#[test]
fn the_grid_is_in_order_and_the_last_factor_changes_first() {
    let text = "scenario: ../base.yaml\nseeds: 3..5\nfactors:\n  policy: [default, first-fit]\n  nodes.worker.count: 4..6\n";
    let experiment = read(text).unwrap();
    assert_eq!(experiment.seeds, [3, 4, 5]);
    assert_eq!((experiment.combinations(), experiment.runs()), (6, 18));
    let cells: Vec<Vec<String>> = experiment
        .cells()
        .map(|cell| experiment.levels(&cell).map(|level| level.text.clone()).collect())
        .collect();
    let expected = [
        ["default", "4"],
        ["default", "5"],
        ["default", "6"],
        ["first-fit", "4"],
        ["first-fit", "5"],
        ["first-fit", "6"],
    ];
    assert_eq!(cells, expected);
    let nodes: Vec<usize> =
        experiment.load(&files(text)).unwrap().iter().map(|loaded| loaded.config.nodes.len()).collect();
    assert_eq!(nodes, [5, 6, 7, 5, 6, 7]);
}

#[test]
fn any_field_can_be_varied_by_its_path() {
    for (path, level) in [
        ("for", "10m"),
        ("nodes.0.count", "4"),
        ("nodes.spare.capacity", "{cpu: 8, memory: 32Gi, pods: 110}"),
        ("faults.loss.at", "20m"),
        ("faults.loss.target.node", "spare-0"),
        // What the scenario does not mention is added.
        ("latency.apiWrite", "10ms"),
        ("controlPlane.clientRateLimits", "false"),
        ("podProfiles", "[{selector: {matchLabels: {app: a}}, runTime: 5s}]"),
    ] {
        let text = format!("scenario: ../base.yaml\nseeds: [1]\nfactors:\n  {path}: [{level}]\n");
        let experiment = read(&text).unwrap();
        if let Err(findings) = experiment.load(&files(&text)) {
            panic!("{path}: {findings}");
        }
    }
}

#[test]
fn errors_have_their_place_in_the_experiment_and_all_are_found() {
    let head = "scenario: ../base.yaml\nseeds: 1..3\nfactors:\n";
    for (factors, expected) in [
        (
            "  policy: [default, defualt]\n",
            "runs/e.yaml:7:21: policy: there is no policy defualt (did you mean default?)",
        ),
        (
            "  nodes.wroker.count: [1]\n",
            "runs/e.yaml:7:3: [nodes.wroker.count]: there is no wroker in nodes, expected worker or spare",
        ),
        ("  nodes.worker.cuont: [1]\n", "runs/e.yaml:7:24: nodes[0].cuont: there is no such field"),
        ("  nodes.worker.count: [2, many]\n", "runs/e.yaml:7:27: nodes[0].count: expected"),
        ("  for.what: [1]\n", "runs/e.yaml:7:3: for: expected a length of time"),
        ("  seed: [1, 2]\n", "runs/e.yaml:7:3: factors.seed: no field of the scenario that can be varied"),
        (
            "  policy: []\n",
            "runs/e.yaml:7:11: factors.policy: expected a list of values, or a range such as 1..30",
        ),
        ("  policy: [default, default]\n", "factors.policy[1]: expected every value once"),
        ("  nodes.worker.count: 5..1\n", "runs/e.yaml:7:23: factors[nodes.worker.count]: expected a range"),
    ] {
        let found = refusal(&format!("{head}{factors}"));
        assert!(found.contains(expected), "{factors}: {found}");
    }
    let found = refusal(
        "scenario: ../base.yaml\nseeds: 1..3\nfactors:\n  policy: [defualt]\n  nodes.worker.count: [many]\n",
    );
    assert!(found.contains("policy") && found.contains("count"), "both are found: {found}");
    let found = refusal("scenario: ../missing.yaml\nseeds: [1]\nfactors: {}\n");
    assert!(found.contains("missing.yaml"), "{found}");
    let found = refusal("scenari: ../base.yaml\nseeds: [one]\nfactors: {}\n");
    assert!(found.contains("scenari") && found.contains("seeds[0]"), "{found}");
}

#[test]
fn every_ready_experiment_can_be_played() {
    let folder = Folder::of_crate();
    let mut count = 0;
    for path in folder.yaml_files("experiments") {
        let experiment = read_experiment(&folder, &path).unwrap_or_else(|findings| panic!("{findings}"));
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        assert_eq!(Some(experiment.name.as_str()), stem, "an experiment is called as its file");
        assert!(!experiment.description.is_empty(), "{}: nothing is described", path.display());
        assert!(experiment.seeds.len() >= 10, "{}: too few seeds", path.display());
        for loaded in experiment.load(&folder).unwrap_or_else(|findings| panic!("{findings}")) {
            assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        }
        count += 1;
    }
    assert!(count >= 2, "there are {count} experiments");
}
