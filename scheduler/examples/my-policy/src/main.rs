//! Plays a scenario by the policy of this crate and by two that ship with Seatrial, ten seeds each.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use seatrial_api::units::Span;
use seatrial_reports::{Report, metrics};
use seatrial_scenarios::{Loaded, Request, evaluate, load};
use seatrial_scheduler::{SchedulerConfiguration, policies};
use seatrial_sim_core::cluster::Simulation;

const SEEDS: u64 = 10;
const SHOWN: [&str; 3] = ["availability_min_pct", "service_down_s", "nodes_used"];

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from("scenario.yaml");
    let files = BTreeMap::from([(path.clone(), include_bytes!("../scenario.yaml").to_vec())]);
    let request = Request { scenario: Some(path), ..Request::default() };
    let loaded = load(&files, &request).map_err(|findings| findings.to_string())?;
    let shipped = |name: &str| policies::find(name).map(policies::Policy::configuration).ok_or("no policy");
    println!("{:<16}  {}", "policy", SHOWN.join("  "));
    for (name, scheduler) in [
        ("default", shipped("default")?),
        ("most-allocated", shipped("most-allocated")?),
        ("fewest-siblings", my_policy::configuration()),
    ] {
        let means = play(&loaded, &scheduler)?;
        let cells =
            SHOWN.iter().zip(means).map(|(name, mean)| format!("{mean:>width$.2}", width = name.len()));
        println!("{name:<16}  {}", cells.collect::<Vec<_>>().join("  "));
    }
    Ok(())
}

/// The means over the seeds of the metrics that are shown.
fn play(loaded: &Loaded, scheduler: &SchedulerConfiguration) -> Result<[f64; SHOWN.len()], Box<dyn Error>> {
    let mut sums = [0.0; SHOWN.len()];
    for seed in 1..=SEEDS {
        let mut config = loaded.config.clone();
        (config.seed, config.scheduler) = (seed, scheduler.clone());
        let mut simulation = Simulation::new(config)?;
        simulation.run();
        let results = simulation.results(simulation.end());
        let report = Report {
            results: &results,
            expectations: &evaluate(&loaded.expectations, &results),
            seatrial_version: env!("CARGO_PKG_VERSION"),
            kubernetes_version: loaded.config.version.as_str(),
            cpu: Span::ZERO,
            reproducible: true,
        };
        let values = metrics::of(&report);
        for (metric, value) in metrics::METRICS.iter().zip(values) {
            if let (Some(index), Some(value)) = (SHOWN.iter().position(|name| *name == metric.name), value) {
                sums[index] += value / SEEDS as f64;
            }
        }
    }
    Ok(sums)
}
