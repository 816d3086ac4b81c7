use seatrial_scenarios::{Files, Request, evaluate, load};
use seatrial_sim_core::cluster::Simulation;
use std::io;
use std::path::{Path, PathBuf};
struct Disk;
impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        if !std::fs::metadata(path)?.is_dir() {
            return Ok(None);
        }
        std::fs::read_dir(path)?.map(|e| Ok(e?.path())).collect::<io::Result<_>>().map(Some)
    }
}
fn main() {
    let mut verbose = false;
    let mut seed = None;
    for arg in std::env::args().skip(1) {
        if arg == "-v" {
            verbose = true;
            continue;
        }
        if let Some(s) = arg.strip_prefix("--seed=") {
            seed = s.parse().ok();
            continue;
        }
        let loaded =
            match load(&Disk, &Request { scenario: Some(arg.clone().into()), seed, ..Request::default() }) {
                Ok(l) => l,
                Err(f) => {
                    eprint!("{f}");
                    continue;
                }
            };
        eprint!("{}", loaded.warnings);
        let end = loaded.config.duration;
        let t = std::time::Instant::now();
        let mut sim: Simulation = match Simulation::new(loaded.config) {
            Ok(s) => s,
            Err(e) => {
                eprintln!("{arg}: {e}");
                continue;
            }
        };
        sim.run();
        let results = sim.results(seatrial_api::units::SimTime::ZERO + end);
        println!("== {arg} {} events {:?} hash {:?}", results.events, t.elapsed(), results.trace_hash);
        for o in evaluate(&loaded.expectations, &results) {
            println!(
                "{} {:24} {:>12} {:28} {}   [{}]",
                if o.passed { "pass" } else { "FAIL" },
                o.name,
                o.at.map_or("-".into(), |a| a.to_string()),
                o.object,
                o.found,
                o.expected
            );
        }
        if verbose {
            for e in &results.event_rows {
                println!(
                    "{:>14} {:?} {}/{}/{} {} {}",
                    e.time.to_string(),
                    e.event,
                    e.kind,
                    e.namespace,
                    e.name,
                    e.reason,
                    e.message
                );
            }
            for s in &results.series {
                println!(
                    "{} {}: {:?}",
                    s.metric.as_str(),
                    s.object,
                    s.points.iter().map(|p| format!("{}={}", p.0, p.1)).collect::<Vec<_>>()
                );
            }
            for p in &results.pods {
                println!(
                    "{}/{} on {} {:?} created {} sched {:?} started {:?} ready {:?} fin {:?} restarts {} {} {}",
                    p.namespace,
                    p.name,
                    p.node,
                    p.phase,
                    p.created,
                    p.scheduled.map(|t| t.to_string()),
                    p.started.map(|t| t.to_string()),
                    p.ready.map(|t| t.to_string()),
                    p.finished.map(|t| t.to_string()),
                    p.restarts,
                    p.reason,
                    p.message
                );
            }
        }
    }
}
