//! Whatever is killed and whenever, the end is the same: the scheduler, the controller manager or a
//! kubelet dies at an event of a run and is started again, and the final state is that of the run
//! in which nothing died.
//!
//! 200 events of each scenario are drawn by seed. `SEATRIAL_EVERY_EVENT=1` kills at all of them; a
//! failure prints what `SEATRIAL_RESTART` plays it again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use seatrial_api::same_state::{first_difference, state_of};
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_scenarios::{Request, load};
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::config::{Action, MasterComponent};

/// How many events of a scenario are drawn.
const DRAWN: u64 = 200;
/// The seed of the draws.
const SEED: u64 = 1;
/// What is killed, as it is written in `SEATRIAL_RESTART`.
const VICTIMS: [&str; 5] = ["kube-scheduler", "kube-controller-manager", "worker-0", "worker-1", "worker-2"];

/// At which event what is killed.
#[derive(Clone, Copy, Debug)]
struct Kill {
    event: u64,
    victim: usize,
}

impl Kill {
    fn action(self) -> Action {
        match VICTIMS[self.victim] {
            "kube-scheduler" => Action::RestartMaster(MasterComponent::Scheduler),
            "kube-controller-manager" => Action::RestartMaster(MasterComponent::ControllerManager),
            node => Action::RestartKubelet(Symbol::new(node)),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/restarts/scenarios")
}

fn scenarios() -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder of scenarios can be listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let stem = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.map(|path| (stem(&path), path)).collect()
}

fn simulation(path: &Path) -> Simulation {
    let text = fs::read(path).expect("the scenario can be read");
    let files = BTreeMap::from([(path.to_owned(), text)]);
    let request = Request { scenario: Some(path.to_owned()), ..Request::default() };
    let loaded = load(&files, &request).unwrap_or_else(|findings| panic!("{findings}"));
    Simulation::new(loaded.config).expect("it can be played")
}

/// How many events a run has, and its final state.
fn undisturbed(start: &Simulation) -> (u64, Vec<String>) {
    let mut run = start.clone();
    run.run_until(run.end() - Span::from_mins(1));
    let settled = state_of(run.api());
    run.run();
    let state = state_of(run.api());
    assert_eq!(first_difference(&settled, &state), None, "the run ends at rest");
    (run.events(), state)
}

/// The kills of a scenario, in the order of their events.
fn kills(name: &str, events: u64) -> Vec<Kill> {
    if let Ok(wanted) = std::env::var("SEATRIAL_RESTART") {
        let parts: Vec<&str> = wanted.split(':').collect();
        let [scenario, event, victim] = parts[..] else { panic!("SEATRIAL_RESTART=scenario:event:victim") };
        let victim = VICTIMS.iter().position(|known| *known == victim).expect("a victim");
        let kill = Kill { event: event.parse().expect("the number of an event"), victim };
        return if scenario == name { vec![kill] } else { Vec::new() };
    }
    let victims = VICTIMS.len() as u64;
    if std::env::var_os("SEATRIAL_EVERY_EVENT").is_some() {
        let all = (0..events * victims).map(|n| Kill { event: n / victims, victim: (n % victims) as usize });
        return all.collect();
    }
    let mut stream = Stream::new(SEED, seatrial_api::stream::entity_of(Symbol::empty(), name), 0);
    let mut drawn: Vec<Kill> = (0..DRAWN)
        .map(|_| Kill { event: stream.below(events), victim: stream.below(victims) as usize })
        .collect();
    drawn.sort_by_key(|kill| kill.event);
    drawn
}

/// Kills and plays to the end; the difference that this makes, if there is one.
fn difference(mut run: Simulation, kill: Kill, expected: &[String]) -> Option<String> {
    run.act(SimTime::ZERO, kill.action());
    run.run();
    if let Err(violation) = run.check_invariants() {
        return Some(violation.to_string());
    }
    first_difference(expected, &state_of(run.api()))
}

#[test]
fn killing_a_component_at_any_event_does_not_change_the_end() {
    let failures: Vec<String> = scenarios()
        .into_iter()
        .flat_map(|(name, path)| {
            let mut original = simulation(&path);
            let (events, expected) = undisturbed(&original);
            let kills = kills(&name, events);
            // A clone just before each event, and as few of them at a time as a batch has.
            let mut failures = Vec::new();
            for batch in kills.chunks(64) {
                let clones: Vec<(Kill, Simulation)> = batch
                    .iter()
                    .map(|&kill| {
                        while original.events() < kill.event && original.step() {}
                        (kill, original.clone())
                    })
                    .collect();
                failures.par_extend(clones.into_par_iter().filter_map(|(kill, clone)| {
                    let victim = VICTIMS[kill.victim];
                    let at = clone.now();
                    let found = difference(clone, kill, &expected)?;
                    Some(format!(
                        "{name}: {victim} killed at event {} ({} s): {found}\n  \
                         replay: SEATRIAL_RESTART={name}:{}:{victim} cargo test --test restarts",
                        kill.event,
                        at.nanos() / 1_000_000_000,
                        kill.event,
                    ))
                }));
            }
            println!("{name}: {} kills among {events} events", kills.len());
            failures
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} runs end otherwise (seed {SEED})\n{}",
        failures.len(),
        failures[..failures.len().min(12)].join("\n")
    );
}
