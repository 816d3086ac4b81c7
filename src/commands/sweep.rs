//! `seatrial sweep`.

use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use rayon::prelude::*;
use seatrial_api::units::Span;
use seatrial_reports::Report;
use seatrial_reports::compare::{SweepRow, write_sweep};
use seatrial_scenarios::{Cell, Experiment, Loaded, evaluate, read_experiment};
use seatrial_sim_core::cluster::Simulation;

use super::input::render;
use crate::cli::SweepArguments;
use crate::files::{Disk, write_whole};
use crate::progress::RunProgress;
use crate::{CommandResult, Outcome, Refusal};

/// Plays a scenario for every combination of factors and every seed, and writes a row for each run.
pub(crate) fn sweep(arguments: &SweepArguments) -> CommandResult {
    let disk = Disk::default();
    let refused = |findings| Refusal(render(&findings, true));
    let experiment = read_experiment(&disk, &arguments.experiment).map_err(refused)?;
    let loaded = experiment.load(&disk).map_err(refused)?;
    if let Some(first) = loaded.first() {
        eprint!("{}", render(&first.warnings, false));
    }
    let mut builder = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = arguments.threads {
        builder = builder.num_threads(threads.get());
    }
    let pool = builder.build()?;
    let began = Instant::now();
    let rows = pool.install(|| play_all(&experiment, &loaded))?;
    let factors: Vec<String> = experiment.factors.iter().map(|factor| factor.path.clone()).collect();
    let mut table = Vec::new();
    write_sweep(&factors, &rows, &mut table)?;
    match &arguments.out {
        Some(path) => {
            let unwritable = |error| Refusal(format!("{}: {error}", path.display()));
            write_whole(path, &table).map_err(unwritable)?;
        }
        None => std::io::stdout().write_all(&table)?,
    }
    let missed = rows.iter().filter(|row| !row.passed).count();
    eprintln!(
        "{} runs of {} in {:.1} s on {} threads; {missed} missed an expectation",
        rows.len(),
        experiment.name,
        began.elapsed().as_secs_f64(),
        pool.current_num_threads()
    );
    Ok(Outcome::Passed)
}

/// The rows of all runs in the order of the grid, whichever thread played them.
fn play_all(experiment: &Experiment, loaded: &[Loaded]) -> Result<Vec<SweepRow>, Refusal> {
    let cells: Vec<Cell> = experiment.cells().collect();
    let seeds = &experiment.seeds;
    let progress = Mutex::new(RunProgress::new(experiment.runs()));
    let rows = (0..experiment.runs()).into_par_iter().map(|run| {
        let (cell, seed) = (run / seeds.len(), seeds[run % seeds.len()]);
        let factors = experiment.levels(&cells[cell]).map(|level| level.text.clone()).collect();
        let row = play_one(&loaded[cell], seed, factors);
        if let Ok(mut progress) = progress.lock() {
            progress.done();
        }
        row
    });
    // Collecting in order, the first refusal by the grid is the one that is told.
    let rows: Vec<Result<SweepRow, Refusal>> = rows.collect();
    if let Ok(progress) = progress.lock() {
        progress.finish();
    }
    rows.into_iter().collect()
}

fn play_one(loaded: &Loaded, seed: u64, factors: Vec<String>) -> Result<SweepRow, Refusal> {
    let mut config = loaded.config.clone();
    config.seed = seed;
    let version = config.version;
    let mut simulation = Simulation::new(config)?;
    simulation.run();
    let results = simulation.results(simulation.end());
    let expectations = evaluate(&loaded.expectations, &results);
    let report = Report {
        results: &results,
        expectations: &expectations,
        seatrial_version: env!("CARGO_PKG_VERSION"),
        kubernetes_version: version.as_str(),
        cpu: Span::ZERO,
        reproducible: true,
    };
    Ok(SweepRow::new(factors, &report))
}
