//! A controller's own API client: its rate limit, which its Event writes share, and the filter
//! that keeps one object from flooding the cluster with Events.

use rustc_hash::FxHashMap;
use seatrial_api::client::TokenBucket;
use seatrial_api::machine::Severity;
use seatrial_api::object::ObjectRef;
use seatrial_api::units::{SimTime, Span};

use crate::ClientLimits;

/// Events about one object that are written at once; then one every [`EVENT_REFILL`].
const EVENT_BURST: i64 = 25;
const EVENT_REFILL: Span = Span::from_mins(5);

/// A rate-limited client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    bucket: Option<TokenBucket>,
    /// When the event budget of an object is full again.
    events: FxHashMap<(ObjectRef, bool), SimTime>,
}

impl Client {
    pub(crate) fn new(limits: ClientLimits) -> Client {
        let bucket = match limits {
            ClientLimits::Unlimited => None,
            ClientLimits::Limited { qps, burst } => Some(TokenBucket::new(qps, burst)),
        };
        Client { bucket, events: FxHashMap::default() }
    }

    /// When the next request may go.
    pub(crate) fn take(&mut self, now: SimTime) -> SimTime {
        self.bucket.as_mut().map_or(now, |bucket| bucket.take(now))
    }

    /// Spends what writing an Event costs, unless the filter drops it.
    pub(crate) fn spend_event(&mut self, now: SimTime, object: ObjectRef, severity: Severity) {
        let Some(bucket) = &mut self.bucket else { return };
        let full_at = self.events.entry((object, severity == Severity::Warning)).or_insert(now);
        let spent = (*full_at).max(now) + EVENT_REFILL;
        if spent - now <= EVENT_REFILL.times(EVENT_BURST) {
            *full_at = spent;
            bucket.take(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::object::Kind;

    #[test]
    fn events_share_the_limit_until_the_filter_drops_them() {
        let mut client = Client::new(ClientLimits::Limited { qps: 1, burst: 30 });
        let object = ObjectRef { kind: Kind::Pod, id: 1 };
        for _ in 0..100 {
            client.spend_event(SimTime::ZERO, object, Severity::Normal);
        }
        let sent: Vec<_> = (0..6).map(|_| client.take(SimTime::ZERO)).collect();
        assert_eq!(sent[4], SimTime::ZERO);
        assert_eq!(sent[5], SimTime::from_secs(1));
    }
}
