//! The promise on which all others stand: a run is a function of its scenario and its seed. The
//! same hash twice in a process, in two processes, on both queues, cloned in the middle, on one
//! thread and on two; and, in `golden/hashes.json`, on every machine and in every build.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;
use seatrial_api::units::SimTime;
use seatrial_scenarios::{Files, Request, load};
use seatrial_sim_core::cluster::config::ClusterConfig;
use seatrial_sim_core::cluster::{ClusterEvent, ClusterQueue, Simulation};
use seatrial_sim_core::engine::queue::{EventQueue, HeapQueue};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/hashes.json");

/// The files of the repository.
struct Repository;

impl Files for Repository {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(Repository::at(path))
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        let folder = Repository::at(path);
        if !folder.is_dir() {
            return Ok(None);
        }
        fs::read_dir(folder)?
            .map(|entry| Ok(path.join(entry?.file_name())))
            .collect::<io::Result<_>>()
            .map(Some)
    }
}

impl Repository {
    fn at(path: &Path) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }
}

/// The scenarios of the library by name.
fn library() -> BTreeMap<String, PathBuf> {
    let files = Repository.list(Path::new("scenarios/library")).expect("it can be listed").expect("a folder");
    let stem = |path: &Path| Some(path.file_stem()?.to_str()?.to_owned());
    files.into_iter().filter_map(|path| Some((stem(&path)?, path))).collect()
}

fn config(path: &Path, seed: Option<u64>) -> ClusterConfig {
    let request = Request { scenario: Some(path.to_owned()), seed, ..Request::default() };
    load(&Repository, &request).unwrap_or_else(|findings| panic!("{findings}")).config
}

fn zone_loss(seed: u64) -> ClusterConfig {
    config(&library()["zone-loss"], Some(seed))
}

/// Plays to the end.
fn hash_of(config: ClusterConfig) -> String {
    let mut simulation = Simulation::new(config).expect("a scenario of the library can be played");
    simulation.run();
    simulation.trace_hash().to_string()
}

/// Plays to the end on a queue, the last half in a clone.
fn hash_of_clone<Q: EventQueue<ClusterEvent> + Clone>(config: ClusterConfig) -> (String, String) {
    let middle = SimTime::from_nanos(config.duration.nanos() / 2);
    let mut original: Simulation<Q> = Simulation::with_queue(config).expect("it can be played");
    original.run_until(middle);
    let mut clone = original.clone();
    clone.run();
    original.run();
    (original.trace_hash().to_string(), clone.trace_hash().to_string())
}

#[test]
fn every_scenario_of_the_library_has_its_golden_hash() {
    let played = library().into_iter().map(|(name, path)| (name, hash_of(config(&path, None))));
    let found: BTreeMap<String, String> = played.collect();
    if std::env::var_os("SEATRIAL_ACCEPT").is_some() {
        let text = serde_json::to_string_pretty(&found).expect("strings are JSON");
        fs::write(GOLDEN, text + "\n").expect("the golden file can be written");
    }
    let golden = fs::read_to_string(GOLDEN).expect("the golden file can be read");
    let golden: BTreeMap<String, String> = serde_json::from_str(&golden).expect("it maps names to hashes");
    assert_eq!(found, golden, "if the new hashes are right, see CONTRIBUTING.md, Goldens");
}

#[test]
fn a_run_is_the_same_twice_and_on_the_reference_queue_and_in_a_clone() {
    for (name, path) in library() {
        let expected = hash_of(config(&path, Some(7)));
        let (heap, clone) = hash_of_clone::<HeapQueue<ClusterEvent>>(config(&path, Some(7)));
        assert_eq!((&heap, &clone), (&expected, &expected), "{name}: bucket queue, heap, clone on the heap");
        let (again, clone) = hash_of_clone::<ClusterQueue>(config(&path, Some(7)));
        assert_eq!((&again, &clone), (&expected, &expected), "{name}: again, clone on the bucket queue");
    }
}

#[test]
fn another_seed_is_another_run() {
    assert_ne!(hash_of(zone_loss(1)), hash_of(zone_loss(2)));
}

#[test]
fn runs_on_two_threads_equal_runs_on_one() {
    let hashes = |threads: usize| -> Vec<String> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be made");
        pool.install(|| (1..=6u64).into_par_iter().map(|seed| hash_of(zone_loss(seed))).collect())
    };
    assert_eq!(hashes(1), hashes(2));
}

#[test]
fn the_program_plays_the_same_run_as_the_library() {
    let path = &library()["zone-loss"];
    let output = Command::new(env!("CARGO_BIN_EXE_seatrial"))
        .arg("run")
        .arg(path)
        .args(["--seed", "7", "--format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program can be run");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("not JSON: {error}\n{}", String::from_utf8_lossy(&output.stderr));
    });
    assert_eq!(summary["trace_hash"], hash_of(zone_loss(7)));
}
