//! `seatrial inflate`.

mod folder;
mod text;

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Instant;

use rayon::prelude::*;
use seatrial_api::document::Diagnostics;
use seatrial_scenarios::inflate::{
    self, Cell, Machines, POLICIES, PUBLISHED_WORKLOADS, Series, TablePolicy, Workload, compare, find_policy,
    read_expected, summarize, write_csv,
};

use super::input::render;
use crate::cli::InflateArguments;
use crate::files::write_whole;
use crate::progress::RunProgress;
use crate::{CommandResult, Outcome, Refusal};
use folder::Folder;

/// One run of the experiment.
struct Job<'a> {
    workload: &'a Workload,
    policy: TablePolicy,
    seed: u64,
}

/// Inflates workloads by policies and compares with what is published.
pub(crate) fn inflate(arguments: &InflateArguments) -> CommandResult {
    let folder = Folder::open(&arguments.data)?;
    let policies = chosen_policies(&arguments.policies)?;
    let names = chosen_workloads(&arguments.workloads, &folder)?;
    let mut findings = Diagnostics::new();
    let machines = folder.machines(&mut findings);
    let workloads: Vec<Workload> =
        names.iter().filter_map(|name| folder.workload(name, &mut findings)).collect();
    let expected = folder.expected()?.map(|(file, bytes)| read_expected(&file, &bytes, &mut findings));
    let machines = match (findings.has_errors(), machines) {
        (false, Some(machines)) => machines,
        _ => return Err(Refusal(render(&findings, true))),
    };
    let series = play(&machines, &jobs(&workloads, &policies, &arguments.seeds.0), arguments.threads)?;
    let mut cells: Vec<Cell> = Vec::new();
    let mut of_seeds = series.chunks(arguments.seeds.0.len());
    for workload in &workloads {
        for policy in &policies {
            let runs = of_seeds.next().unwrap_or_default();
            cells.extend(summarize(&workload.name, policy.table_name, runs));
        }
    }
    if let Some(path) = &arguments.out {
        write_whole(path, write_csv(&cells).as_bytes())
            .map_err(|error| Refusal(format!("{}: {error}", path.display())))?;
    }
    let comparison = compare(&cells, expected.as_deref().unwrap_or_default());
    print!("{}", text::answer(&cells, &comparison, expected.is_some()));
    Ok(if comparison.passes() { Outcome::Passed } else { Outcome::Failed })
}

fn jobs<'a>(workloads: &'a [Workload], policies: &[TablePolicy], seeds: &[u64]) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for workload in workloads {
        for &policy in policies {
            jobs.extend(seeds.iter().map(|&seed| Job { workload, policy, seed }));
        }
    }
    jobs
}

/// Plays all runs; the answer is in the order of the jobs, whichever thread played them.
fn play(
    machines: &Machines,
    jobs: &[Job<'_>],
    threads: Option<NonZeroUsize>,
) -> Result<Vec<Series>, Refusal> {
    let mut builder = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = threads {
        builder = builder.num_threads(threads.get());
    }
    let pool = builder.build()?;
    let (began, progress) = (Instant::now(), Mutex::new(RunProgress::new(jobs.len())));
    let play_one = |job: &Job<'_>| {
        let series = inflate::run(machines, job.workload, job.policy, job.seed);
        if let Ok(mut progress) = progress.lock() {
            progress.done();
        }
        series
    };
    let series: Vec<Result<Series, _>> = pool.install(|| jobs.par_iter().map(play_one).collect());
    if let Ok(progress) = progress.lock() {
        progress.finish();
    }
    let (seconds, threads) = (began.elapsed().as_secs_f64(), pool.current_num_threads());
    eprintln!("{} runs in {seconds:.1} s on {threads} threads", jobs.len());
    series.into_iter().map(|series| series.map_err(Refusal::from)).collect()
}

fn chosen_policies(names: &[String]) -> Result<Vec<TablePolicy>, Refusal> {
    if names.is_empty() {
        return Ok(POLICIES.to_vec());
    }
    let known = || {
        let tables = POLICIES.iter().map(|policy| policy.table_name);
        tables.chain(seatrial_scheduler::policies::names()).collect::<Vec<_>>().join(", ")
    };
    let find = |name: &String| {
        find_policy(name)
            .ok_or_else(|| Refusal(format!("there is no policy {name}: expected one of {}", known())))
    };
    let mut policies: Vec<TablePolicy> = Vec::new();
    for name in names {
        let policy = find(name)?;
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    Ok(policies)
}

/// The lists that are inflated: those named, all of the folder, or the published ones that are there.
fn chosen_workloads(names: &[String], folder: &Folder) -> Result<Vec<String>, Refusal> {
    let there = folder.workloads();
    if names.iter().any(|name| name == "all") {
        return Ok(there.to_vec());
    }
    if names.is_empty() {
        let published = PUBLISHED_WORKLOADS.iter().map(|name| (*name).to_owned());
        return Ok(published.filter(|name| there.contains(name)).collect());
    }
    for name in names {
        if !there.contains(name) {
            let known = there.join(", ");
            return Err(Refusal(format!("there is no workload {name}: expected all, or some of {known}")));
        }
    }
    let mut chosen: Vec<String> = Vec::new();
    for name in names {
        if !chosen.contains(name) {
            chosen.push(name.clone());
        }
    }
    Ok(chosen)
}
