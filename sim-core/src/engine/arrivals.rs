//! Future arrivals, merged with the queue without filling it.
//!
//! A workload of a million pods is known long before it happens. Kept in the queue it would make
//! every operation pay for the whole future; kept here, only the next arrival counts.

use seatrial_api::units::SimTime;

/// A stream of events in the order of their times.
///
/// The engine gives them sequence numbers reserved when the stream was attached, so at one instant
/// they come before everything that the run itself scheduled, whatever the policy under test did
/// until then.
pub trait Arrivals<E>: Clone {
    /// The instant of the next arrival.
    fn peek_time(&self) -> Option<SimTime>;

    /// Takes the next arrival.
    fn take(&mut self) -> Option<(SimTime, E)>;
}

/// No arrivals: everything is scheduled.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoArrivals;

impl<E> Arrivals<E> for NoArrivals {
    #[inline]
    fn peek_time(&self) -> Option<SimTime> {
        None
    }

    #[inline]
    fn take(&mut self) -> Option<(SimTime, E)> {
        None
    }
}

/// Arrivals from an iterator, of which only the next one is held.
#[derive(Clone, Debug)]
pub struct SortedArrivals<I: Iterator> {
    source: I,
    next: Option<I::Item>,
}

impl<E, I: Iterator<Item = (SimTime, E)>> SortedArrivals<I> {
    /// The arrivals that `source` yields, whose times never decrease.
    pub fn new(source: impl IntoIterator<IntoIter = I>) -> Self {
        let mut source = source.into_iter();
        let next = source.next();
        SortedArrivals { source, next }
    }
}

impl<E, I> Arrivals<E> for SortedArrivals<I>
where
    E: Copy,
    I: Iterator<Item = (SimTime, E)> + Clone,
{
    #[inline]
    fn peek_time(&self) -> Option<SimTime> {
        self.next.map(|(time, _)| time)
    }

    /// # Panics
    /// If the source goes back in time.
    #[inline]
    fn take(&mut self) -> Option<(SimTime, E)> {
        let (time, event) = self.next?;
        self.next = self.source.next();
        assert!(
            self.next.is_none_or(|(following, _)| following >= time),
            "arrivals must be sorted by time: one at {time} comes before an earlier one"
        );
        Some((time, event))
    }
}
