use seatrial_api::units::{SimTime, Span};

use super::*;
use crate::engine::Engine;

#[derive(Clone, Copy)]
struct Step(u32);

impl Event for Step {
    fn signature(&self) -> Signature {
        Signature { kind: 7, ids: [self.0, 8, 9] }
    }
}

/// A run in which event `n` schedules `2n + 1` and `2n + 2`, up to 1,000.
fn tree(until: u32) -> Engine<Step> {
    let mut engine: Engine<Step> = Engine::new(SimTime::ZERO);
    engine.trace_mut().record();
    engine.schedule_at(SimTime::ZERO, Step(0));
    while let Some(entry) = engine.next_event() {
        for child in [2 * entry.event.0 + 1, 2 * entry.event.0 + 2] {
            if child < until {
                engine.schedule_after(Span::from_millis(i64::from(child % 7)), Step(child));
            }
        }
    }
    engine
}

#[test]
fn every_field_of_an_event_and_its_place_enter_the_hash() {
    let hash = |events: &[(i64, u64, u32, [u32; 3])]| {
        let mut trace = Trace::new();
        for &(time, sequence, kind, ids) in events {
            trace.observe(SimTime::from_nanos(time), sequence, 0, Signature { kind, ids });
        }
        trace.hash()
    };
    let all = [
        hash(&[]),
        hash(&[(0, 0, 0, [0, 0, 0])]),
        hash(&[(1, 0, 0, [0, 0, 0])]),
        hash(&[(0, 1, 0, [0, 0, 0])]),
        hash(&[(0, 0, 1, [0, 0, 0])]),
        hash(&[(0, 0, 0, [1, 0, 0])]),
        hash(&[(0, 0, 0, [0, 1, 0])]),
        hash(&[(0, 0, 0, [0, 0, 1])]),
        hash(&[(0, 0, 0, [0, 0, 0]), (0, 0, 0, [0, 0, 0])]),
        hash(&[(0, 0, 0, [0, 0, 0]), (0, 0, 0, [0, 0, 1])]),
        hash(&[(0, 0, 0, [0, 0, 1]), (0, 0, 0, [0, 0, 0])]),
    ];
    for (index, hash) in all.iter().enumerate() {
        assert!(!all[..index].contains(hash), "{index}");
    }
}

#[test]
fn a_hash_prints_as_16_digits() {
    assert_eq!(TraceHash(0x1f).to_string(), "000000000000001f");
}

#[test]
fn checkpoints_tell_in_which_stretch_runs_part() {
    let run = |odd_at: u64| {
        let mut trace = Trace::new();
        for event in 0..4 * CHECKPOINT_EVENTS {
            let kind = u32::from(event == odd_at);
            trace.observe(SimTime::from_nanos(event as i64), event, 0, Signature { kind, ids: [0; 3] });
        }
        trace
    };
    let (straight, odd) = (run(u64::MAX), run(2 * CHECKPOINT_EVENTS + 5));
    let parted = straight.checkpoints().iter().zip(odd.checkpoints()).position(|(left, right)| left != right);
    assert_eq!((straight.checkpoints().len(), parted), (4, Some(2)));
    assert_eq!(straight.checkpoints().last(), Some(&straight.hash()));
}

#[test]
fn recording_does_not_change_the_hash_and_starts_when_asked() {
    let recorded = tree(1_000);
    assert_eq!(recorded.trace().records().len() as u64, recorded.trace().events());
    let mut silent: Engine<Step> = Engine::new(SimTime::ZERO);
    silent.schedule_at(SimTime::ZERO, Step(0));
    silent.next_event();
    assert!(silent.trace().records().is_empty());
    let mut replayed = Trace::new();
    for record in recorded.trace().records() {
        replayed.observe(record.time, record.sequence, record.first_effect, record.signature);
    }
    assert_eq!(replayed.hash(), recorded.trace_hash());
}

#[test]
fn a_trace_file_gives_back_what_was_written_in_portions() {
    let engine = tree(1_000);
    let records = engine.trace().records();
    let mut bytes = HEADER.to_vec();
    encode(&records[..300], &mut bytes);
    encode(&records[300..], &mut bytes);
    assert_eq!(bytes.len(), HEADER.len() + records.len() * RECORD_BYTES);
    assert_eq!(decode(&bytes).as_deref(), Ok(records));
}

#[test]
fn what_is_not_a_trace_file_is_refused() {
    let mut bytes = HEADER.to_vec();
    assert_eq!(decode(&bytes), Ok(Vec::new()));
    bytes.extend([0; 3]);
    assert_eq!(decode(&bytes), Err(TraceFileError::Truncated(3)));
    bytes[8] = 2;
    assert_eq!(decode(&bytes), Err(TraceFileError::Version(2)));
    assert_eq!(decode(b"SEATRACE"), Err(TraceFileError::NotATrace));
    assert_eq!(decode(b""), Err(TraceFileError::NotATrace));
}

#[test]
fn the_first_difference_is_found_also_when_one_trace_is_longer() {
    let (long, short) = (tree(1_000), tree(400));
    let (long, short) = (long.trace().records(), short.trace().records());
    assert_eq!(first_difference(long, long), None);
    let difference = first_difference(long, short).expect("invariant: they differ");
    assert_eq!(difference.left, Some(long[difference.index]));
    assert_eq!(difference.right, short.get(difference.index).copied());
    assert_eq!(
        long[..difference.index].iter().zip(short).filter(|(l, r)| l.signature != r.signature).count(),
        0
    );
    let cut = first_difference(long, &long[..10]);
    assert_eq!(cut, Some(Difference { index: 10, left: Some(long[10]), right: None }));
}

#[test]
fn the_cause_of_an_event_is_what_scheduled_it() {
    let engine = tree(1_000);
    let records = engine.trace().records();
    for (index, record) in records.iter().enumerate() {
        let parent = cause(records, index).map(|index| records[index].signature.ids[0]);
        let id = record.signature.ids[0];
        assert_eq!(parent, (id > 0).then(|| (id - 1) / 2), "cause of {id}");
    }
}
