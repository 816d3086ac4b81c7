//! Every recorded decision of the real kube-scheduler 1.36 is made again, and compared in all it
//! says: node, feasible and rejected nodes, every score, messages, victims.

mod recordings;

use std::sync::Arc;

use recordings::Recording;
use seatrial_scheduler::cases::Play;

#[test]
fn every_recorded_decision_is_made_again() {
    let recordings = recordings::read();
    let (mut pods, mut misses) = (0, Vec::new());
    for recording in &recordings {
        pods += recording.pods.len();
        misses.extend(differences(recording));
    }
    assert_eq!((recordings.len(), pods), (190, 5825));
    assert!(
        misses.is_empty(),
        "{} differences, the first: {:#?}",
        misses.len(),
        &misses[..misses.len().min(400)]
    );
}

/// What differs in one case; after the first pod that does, the others are not comparable.
fn differences(recording: &Recording) -> Vec<String> {
    let mut play = Play::new(&recording.case).expect("a recorded configuration is valid");
    for (pod, expected) in recording.pods.iter().zip(&recording.expected) {
        let decision = play.schedule(&Arc::new(pod.clone()));
        let differences = recordings::compare(&decision, expected, recording.case.nodes.len() < 30);
        if !differences.is_empty() {
            let at = |text: String| format!("{} {}: {text}", recording.id, decision.pod);
            return differences.into_iter().map(at).collect();
        }
    }
    Vec::new()
}
