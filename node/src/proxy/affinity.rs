//! Which backend a new connection is given, and for how long a client stays with it.

use std::collections::BTreeMap;

use seatrial_api::units::SimTime;

use super::{Backend, Forwarding, PortRules, Traffic};

/// The clients that a node remembers, for Services with affinity.
#[derive(Clone, Debug, Default)]
pub struct Affinities {
    /// When a client, of a port of a Service, last made a connection, and to which backend.
    recent: BTreeMap<(u32, usize, u32), (Backend, SimTime)>,
}

impl Affinities {
    /// The backend of a new connection that `client` makes at `now`; `None` if it gets none. `draw` is
    /// evenly distributed over all its values and decides where affinity does not.
    ///
    /// The memory ends when the client made no connection for as long as the Service says, and when
    /// its backend is no longer among those that are chosen from.
    pub fn connect(
        &mut self,
        now: SimTime,
        rules: &PortRules,
        traffic: Traffic,
        client: u32,
        draw: u64,
    ) -> Option<Backend> {
        let Forwarding { backends, .. } = rules.forwarding(traffic);
        let key = (rules.service, rules.port, client);
        let remembered = rules.affinity.and_then(|timeout| {
            let &(backend, last) = self.recent.get(&key)?;
            (now - last <= timeout && backends.contains(&backend)).then_some(backend)
        });
        let chosen = remembered.or_else(|| pick(backends, draw));
        match (chosen, rules.affinity) {
            (Some(backend), Some(_)) => {
                self.recent.insert(key, (backend, now));
            }
            (None, Some(_)) => {
                self.recent.remove(&key);
            }
            (_, None) => {}
        }
        chosen
    }

    /// Forgets everything about a Service.
    pub fn forget(&mut self, service: u32) {
        self.recent.retain(|key, _| key.0 != service);
    }
}

/// One of the backends, each with the same chance.
fn pick(backends: &[Backend], draw: u64) -> Option<Backend> {
    let index = (u128::from(draw) * backends.len() as u128) >> 64;
    backends.get(index as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::tests::{endpoint, service};
    use crate::proxy::{Destination, ProxyNode, ProxyTable, Served};
    use seatrial_api::container::{PortRef, Protocol};
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::service::{EndpointPort, EndpointSlice, Service, ServicePort};

    fn rules(affinity: Option<i32>, ips: &[u32]) -> PortRules {
        let ports = Box::new([ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port: PortRef::Number(80),
            node_port: 30_000,
        }]);
        let service = Service { ports, session_affinity_seconds: affinity, ..service() };
        let slice = EndpointSlice {
            meta: ObjectMeta::named("default", "web-1"),
            service: "web".into(),
            endpoints: ips.iter().map(|&ip| endpoint(ip, "n1 a ready")).collect::<Vec<_>>().into(),
            ports: Box::new([EndpointPort { name: "".into(), protocol: Protocol::Tcp, port: 80 }]),
        };
        let node = ProxyNode { name: "n1".into(), zone: "a".into() };
        let table = ProxyTable::new(node, [Served { service: &service, slices: &[&slice] }]);
        let destination = Destination::NodePort { protocol: Protocol::Tcp, port: 30_000 };
        table.rules(destination).cloned().expect("the port is there")
    }

    const LOW: u64 = 0;
    const HIGH: u64 = u64::MAX;

    #[test]
    fn without_affinity_every_connection_is_drawn_evenly() {
        let rules = rules(None, &[1, 2, 3, 4]);
        let mut affinities = Affinities::default();
        let mut counts = [0; 4];
        for step in 0..1_000u64 {
            let draw = step * (u64::MAX / 1_000);
            let backend = affinities.connect(SimTime::ZERO, &rules, Traffic::External, 9, draw);
            counts[backend.expect("there are some").ip as usize - 1] += 1;
        }
        assert!(counts.iter().all(|count| (249..=251).contains(count)), "{counts:?}");
        assert!(affinities.recent.is_empty(), "nothing is remembered for nothing");
    }

    #[test]
    fn a_client_stays_until_it_pauses_or_its_backend_goes() {
        let both = rules(Some(60), &[1, 2]);
        let mut affinities = Affinities::default();
        let mut at = |seconds: i64, rules: &PortRules, client: u32, draw: u64| {
            let now = SimTime::from_secs(seconds);
            affinities.connect(now, rules, Traffic::Internal, client, draw).map(|backend| backend.ip)
        };
        assert_eq!(at(0, &both, 7, LOW), Some(1));
        assert_eq!(at(50, &both, 7, HIGH), Some(1));
        assert_eq!(at(100, &both, 7, HIGH), Some(1), "every connection renews it");
        assert_eq!(at(100, &both, 8, HIGH), Some(2), "each client for itself");
        assert_eq!(at(161, &both, 7, HIGH), Some(2), "61 s are too long");
        let only_one = rules(Some(60), &[1]);
        assert_eq!(at(162, &only_one, 7, HIGH), Some(1), "its backend is gone");
        assert_eq!(at(163, &rules(Some(60), &[]), 7, HIGH), None);
        assert_eq!(at(164, &both, 7, HIGH), Some(2), "nothing is left of it");
    }

    proptest::proptest! {
        #[test]
        fn whoever_connects_often_enough_keeps_a_backend_that_stays(
            pauses in proptest::collection::vec(0i64..=60, 1..30),
            draws in proptest::collection::vec(proptest::num::u64::ANY, 30),
            ips in proptest::collection::btree_set(1u32..50, 1..10),
        ) {
            let rules = rules(Some(60), &ips.into_iter().collect::<Vec<_>>());
            let (mut affinities, mut now) = (Affinities::default(), SimTime::ZERO);
            let first = affinities.connect(now, &rules, Traffic::Internal, 1, draws[0]);
            for (pause, draw) in pauses.into_iter().zip(draws) {
                now += seatrial_api::units::Span::from_secs(pause);
                proptest::prop_assert_eq!(affinities.connect(now, &rules, Traffic::Internal, 1, draw), first);
            }
        }
    }
}
