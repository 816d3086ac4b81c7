//! Every scenario of the library loads without an error or a warning, and meets its expectations.

mod common;

use common::Folder;
use seatrial_scenarios::{Request, evaluate, load};
use seatrial_sim_core::cluster::Simulation;

#[test]
fn every_scenario_of_the_library_loads_without_a_warning() {
    let folder = Folder::of_crate();
    let mut count = 0;
    for path in folder.yaml_files("library") {
        let request = Request { scenario: Some(path.clone()), ..Request::default() };
        match load(&folder, &request) {
            Ok(loaded) => {
                assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
                assert!(!loaded.expectations.is_empty(), "{}: nothing is expected", path.display());
                assert!(!loaded.description.is_empty(), "{}: nothing is described", path.display());
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                assert_eq!(Some(loaded.config.name.as_str()), stem, "a scenario is called as its file");
            }
            Err(findings) => panic!("{findings}"),
        }
        count += 1;
    }
    assert!(count >= 10, "the library has {count} scenarios");
}

#[test]
fn every_scenario_meets_its_expectations_for_many_seeds() {
    let folder = Folder::of_crate();
    let mut missed = Vec::new();
    for path in folder.yaml_files("library") {
        for seed in std::iter::once(None).chain((1..=20).map(Some)) {
            let request = Request { scenario: Some(path.clone()), seed, ..Request::default() };
            let loaded = load(&folder, &request).unwrap_or_else(|findings| panic!("{findings}"));
            let mut simulation: Simulation =
                Simulation::new(loaded.config).expect("a scenario that loads can be played");
            simulation.run();
            let results = simulation.results(simulation.end());
            for outcome in evaluate(&loaded.expectations, &results).iter().filter(|outcome| !outcome.passed) {
                missed.push(format!(
                    "{}, seed {}: {}: found {}, expected {}",
                    path.display(),
                    results.seed,
                    outcome.name,
                    outcome.found,
                    outcome.expected
                ));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
