//! Random histories of a cluster: people create, scale, update and delete, nodes and components fail,
//! watches are late. Once that is over, the cluster comes to the state that was asked for within a
//! bound, and stays there; no object is orphaned, no pod is bound twice.
//!
//! A history is a scenario file. One that fails is shrunk and printed with the command that plays
//! it. `SEATRIAL_SEED` chooses other histories, `SEATRIAL_HISTORIES` how many.

mod demands;
mod history;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use seatrial_api::same_state::{first_difference, state_of};
use seatrial_api::units::Span;
use seatrial_scenarios::{Request, load};
use seatrial_sim_core::cluster::Simulation;

use history::{CALM, History, histories};

/// How many histories are played.
const HISTORIES: u32 = 40;
/// After how many events the invariants are checked.
const CHECK_EVERY: u64 = 50;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

fn simulation(scenario: &str) -> Simulation {
    let path = PathBuf::from("history.yaml");
    let files = BTreeMap::from([(path.clone(), scenario.as_bytes().to_vec())]);
    let request = Request { scenario: Some(path), ..Request::default() };
    let loaded = load(&files, &request).unwrap_or_else(|findings| panic!("{findings}\n{scenario}"));
    Simulation::new(loaded.config).expect("it can be played")
}

/// Plays a history; what is wrong about it, if something is.
fn trouble(scenario: &str) -> Result<(), String> {
    let mut run = simulation(scenario);
    let calm = run.end() - Span::from_mins(CALM / 2);
    while run.step_until(calm) {
        if run.events().is_multiple_of(CHECK_EVERY) {
            run.check_invariants().map_err(|violation| format!("at {:?}: {violation}", run.now()))?;
        }
    }
    demands::met(run.api())?;
    let settled = state_of(run.api());
    run.run();
    run.check_invariants().map_err(|violation| violation.to_string())?;
    match first_difference(&settled, &state_of(run.api())) {
        None => Ok(()),
        Some(difference) => Err(format!("it does not stay: {difference}")),
    }
}

fn report(history: &History, seed: u64, trouble: &str) -> TestCaseError {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failing-history.yaml");
    std::fs::write(&file, history.scenario()).expect("the scenario can be written");
    TestCaseError::fail(format!(
        "{trouble}\nseed {seed}; the shortest such history so far is in {file}\n\
         replay: cargo run -- run {file} --check",
        file = file.display()
    ))
}

#[test]
fn a_cluster_that_is_left_alone_comes_to_the_state_that_was_asked_for() {
    let seed = number("SEATRIAL_SEED", 1);
    let cases = number("SEATRIAL_HISTORIES", u64::from(HISTORIES)) as u32;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let played = runner.run(&histories(), |history| {
        trouble(&history.scenario()).map_err(|trouble| report(&history, seed, &trouble))
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}

proptest! {
    #![proptest_config(Config { cases: 16, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_history_is_a_scenario(history in histories()) {
        simulation(&history.scenario());
    }
}
