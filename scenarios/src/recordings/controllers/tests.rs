//! The facts of the recordings are found again in their own traces.

use std::path::Path;

use seatrial_api::document::Diagnostics;
use seatrial_api::version::KubernetesVersion;

use super::facts::{compare_milestones, derive, is_equal, kind_of_fact};
use super::{KINDS, Run, SOMETIMES};
use crate::recordings::{Fact, Recording, read_recordings};

#[expect(clippy::disallowed_methods, reason = "the recordings are files of the repository")]
fn scenarios() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/controllers");
    let files = std::fs::read_dir(folder).expect("the recordings are part of the repository");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let mut findings = Diagnostics::new();
    let mut read = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).expect("a file can be read");
        let lines =
            read_recordings(&path.to_string_lossy(), &bytes, KubernetesVersion::default(), &mut findings);
        read.extend(lines.into_iter().map(|line| line.recording));
    }
    assert_eq!(findings.to_string(), "");
    read.retain(|recording| matches!(recording, Recording::Controllers(_)));
    assert_eq!(read.len(), 162);
    read
}

#[test]
fn every_fact_is_found_again_in_the_recorded_trace() {
    for recording in scenarios() {
        let Recording::Controllers(scenario) = recording else { continue };
        let line = &scenario.scenario.line;
        let trace = line["trace"].as_array().expect("a trace");
        let answers: Vec<_> = line["actions"]
            .as_array()
            .expect("actions")
            .iter()
            .map(|action| action.get("answer").unwrap_or(&action["answers"]).clone())
            .collect();
        let facts = line["facts"].as_object().expect("facts");
        // The unstable ones, too: their value is that of the recorded run.
        let names = facts.keys().map(String::as_str).filter(|name| *name != SOMETIMES);
        for (name, found) in derive(line, trace, &answers, names) {
            let kind = kind_of_fact(name);
            assert!(KINDS.contains(&kind), "{kind}");
            let found = found.unwrap_or_else(|| panic!("{name} is not known"));
            let sometimes = facts.get(SOMETIMES).and_then(|fact| fact["value"].as_array());
            let sometimes = sometimes.map_or(&[][..], Vec::as_slice);
            assert!(is_equal(kind, &facts[name], &found, sometimes), "{}: {name}: {found}", scenario.id());
        }
        let area = &scenario.scenario.area;
        assert!(compare_milestones(area, trace, trace).iter().all(|milestone| milestone.near));
        assert!(!compare_milestones(area, trace, trace).is_empty());

        let whole = scenario.compare_with(&Run { answers, trace: trace.clone() });
        assert!(!whole.fails() && whole.differences.is_empty(), "{}", scenario.id());
        let nothing = scenario.compare_with(&Run { answers: Vec::new(), trace: Vec::new() });
        assert!(nothing.fails() && nothing.facts[&Fact::Milestone].equal == 0, "{}", scenario.id());
    }
}
