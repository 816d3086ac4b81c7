//! Where two traces part, and what led to an event.

use super::Record;

/// The first event in which two traces differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How many events both have in common before it.
    pub index: usize,
    /// The event of the first trace, unless it ended there.
    pub left: Option<Record>,
    /// The event of the second trace, unless it ended there.
    pub right: Option<Record>,
}

/// Finds the first event whose time, sequence or signature differs, or that one trace lacks.
pub fn first_difference(left: &[Record], right: &[Record]) -> Option<Difference> {
    let event = |record: &Record| (record.time, record.sequence, record.signature);
    let common = left.iter().zip(right).take_while(|(left, right)| event(left) == event(right)).count();
    let (left, right) = (left.get(common).copied(), right.get(common).copied());
    (left.is_some() || right.is_some()).then_some(Difference { index: common, left, right })
}

/// The position of the event that scheduled the one at `index`: its cause. `None` for arrivals and
/// for what was scheduled before the first event. What came from outside between two events counts
/// as an effect of the first of them.
///
/// `records` are a whole trace or one from its beginning, in their order.
pub fn cause(records: &[Record], index: usize) -> Option<usize> {
    let sequence = records.get(index)?.sequence;
    // An event's effects are numbered from its `first_effect` to that of the event after it.
    records[..index].partition_point(|earlier| earlier.first_effect <= sequence).checked_sub(1)
}
