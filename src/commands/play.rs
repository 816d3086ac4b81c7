//! Playing a scenario to its end, with progress.

use seatrial_api::units::Span;
use seatrial_benches::measure::user_cpu;
use seatrial_scenarios::{Loaded, evaluate};
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::results::{ExpectationOutcome, Results};

use crate::Refusal;
use crate::progress::Progress;

/// A run that was played.
pub(crate) struct Played {
    pub(crate) simulation: Simulation,
    pub(crate) results: Results,
    pub(crate) expectations: Vec<ExpectationOutcome>,
    pub(crate) cpu: Span,
    /// Whether another run gives the same: no extender was called.
    pub(crate) reproducible: bool,
}

/// What is wanted besides the results.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// The engine's events.
    pub(crate) trace: bool,
    /// Invariants checked after every event.
    pub(crate) check: bool,
}

/// Plays a scenario to its end and judges its expectations.
pub(crate) fn play(loaded: &Loaded, wanted: Wanted) -> Result<Played, Refusal> {
    let before = user_cpu();
    let mut simulation = Simulation::new(loaded.config.clone())?;
    if wanted.trace {
        simulation.record_trace();
    }
    let mut progress = Progress::new();
    let end = simulation.end();
    while simulation.step() {
        if wanted.check {
            simulation.check_invariants().map_err(|violation| {
                Refusal(format!(
                    "a bug in Seatrial: {violation}\n  at {} of '{}', seed {}: replay with --check --seed {}",
                    simulation.now(),
                    loaded.config.name,
                    loaded.config.seed,
                    loaded.config.seed
                ))
            })?;
        }
        progress.step(
            || simulation.now().as_secs_f64() / end.as_secs_f64().max(1e-9),
            |elapsed| {
                let rate = simulation.events() as f64 / elapsed.as_secs_f64() / 1e6;
                format!("{} of {}  {rate:.1} M events/s", simulation.now(), end)
            },
        );
    }
    progress.finish();
    let results = simulation.results(end);
    let expectations = evaluate(&loaded.expectations, &results);
    let cpu = Span::from_nanos(i64::try_from((user_cpu() - before).as_nanos()).unwrap_or(i64::MAX));
    let reproducible = loaded.config.scheduler.extender_calls.0.is_none();
    Ok(Played { simulation, results, expectations, cpu, reproducible })
}
