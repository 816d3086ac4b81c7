//! The recipes of CONTRIBUTING.md do what they say.

mod spare_zone_a;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seatrial_scenarios::{Request, evaluate, load};
use seatrial_scheduler::config::PluginReference;
use seatrial_scheduler::framework::Plugin;
use seatrial_scheduler::{Scheduler, SchedulerConfiguration};
use seatrial_sim_core::cluster::Simulation;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first block of code of a language in CONTRIBUTING.md.
fn recipe(language: &str) -> String {
    let page = read("CONTRIBUTING.md");
    let block = page.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next());
    block.expect("CONTRIBUTING.md has such a block").to_owned()
}

#[test]
fn the_plugin_is_taken_into_a_profile() {
    assert!(include_str!("spare_zone_a.rs").ends_with(&recipe("rust")), "tests/recipes/spare_zone_a.rs");
    let plugin: Arc<dyn Plugin> = Arc::new(spare_zone_a::SpareZoneA);
    let mut configuration = SchedulerConfiguration::default();
    let named = PluginReference::named(plugin.name());
    configuration.profiles[0].plugins.multi_point.enabled.push(named);
    assert!(Scheduler::new(configuration.clone()).is_err(), "nobody has handed it the plugin");
    assert!(Scheduler::with_plugins(configuration, &[plugin]).is_ok());
}

#[test]
fn the_scenario_meets_what_it_expects_with_twenty_seeds() {
    let path = PathBuf::from("scenarios/library/node-lost.yaml");
    let shop = PathBuf::from("scenarios/library/../manifests/shop.yaml");
    let files = BTreeMap::from([
        (path.clone(), recipe("yaml").into_bytes()),
        (shop, read("scenarios/manifests/shop.yaml").into_bytes()),
    ]);
    for seed in 1..=20 {
        let request = Request { scenario: Some(path.clone()), seed: Some(seed), ..Request::default() };
        let loaded = load(&files, &request).unwrap_or_else(|findings| panic!("{findings}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        let mut simulation = Simulation::new(loaded.config).expect("it can be played");
        simulation.run();
        for outcome in evaluate(&loaded.expectations, &simulation.results(simulation.end())) {
            assert!(outcome.passed, "seed {seed}: {} found {}", outcome.name, outcome.found);
        }
    }
}
