//! Whether NetworkPolicies let a connection through.
//!
//! A pod that a policy of a direction selects is isolated in that direction: nothing passes but what
//! some policy of that direction allows. Both ends must agree; replies pass by themselves. Pods in the
//! network of their node are no pods to policies: they are never isolated, and to others they are the
//! node's address.

use std::net::IpAddr;

use seatrial_api::container::{PortRef, Protocol};
use seatrial_api::labels::Labels;
use seatrial_api::networking::{NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule};
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Its address.
    pub ip: IpAddr,
    /// Who it is.
    pub who: Who<'a>,
}

/// Who is at an end.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// A pod.
    Pod {
        /// The pod.
        pod: &'a Pod,
        /// The labels of its namespace.
        namespace_labels: &'a Labels,
    },
    /// A node itself, its kubelet with its probes.
    Node(Symbol),
    /// Somebody outside of the cluster.
    Outside,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Who opens it.
    pub from: Party<'a>,
    /// Who receives it.
    pub to: Party<'a>,
    /// The protocol.
    pub protocol: Protocol,
    /// The receiver's port.
    pub port: u16,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is let through.
    Allowed,
    /// The sender's policies stop it.
    DeniedByEgress,
    /// The receiver's policies stop it.
    DeniedByIngress,
}

/// The verdict of all policies on a connection. Linear in the number of policies.
pub fn judge<'a>(
    policies: impl IntoIterator<Item = &'a NetworkPolicy> + Clone,
    connection: Connection<'_>,
) -> Verdict {
    if !allows(policies.clone(), connection, Direction::Egress) {
        Verdict::DeniedByEgress
    } else if !allows(policies, connection, Direction::Ingress) {
        Verdict::DeniedByIngress
    } else {
        Verdict::Allowed
    }
}

/// Whether policies isolate a pod: from what would reach it, and from what it would reach.
pub fn isolation<'a>(policies: impl IntoIterator<Item = &'a NetworkPolicy>, pod: &Pod) -> (bool, bool) {
    let mut isolated = (false, false);
    for policy in policies.into_iter().filter(|policy| selects(policy, pod)) {
        isolated.0 |= policy.ingress.is_some();
        isolated.1 |= policy.egress.is_some();
    }
    isolated
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

/// Whether a policy is about a pod.
fn selects(policy: &NetworkPolicy, pod: &Pod) -> bool {
    !pod.spec.host_network
        && policy.meta.namespace == pod.meta.namespace
        && policy.pods.matches(&pod.meta.labels)
}

fn allows<'a>(
    policies: impl IntoIterator<Item = &'a NetworkPolicy>,
    connection: Connection<'_>,
    direction: Direction,
) -> bool {
    let (own, other) = match direction {
        Direction::Ingress => (connection.to, connection.from),
        Direction::Egress => (connection.from, connection.to),
    };
    let Who::Pod { pod, .. } = own.who else { return true };
    if direction == Direction::Ingress && is_own_node(other, pod) {
        return true;
    }
    let mut isolated = false;
    for policy in policies.into_iter().filter(|policy| selects(policy, pod)) {
        let rules = match direction {
            Direction::Ingress => &policy.ingress,
            Direction::Egress => &policy.egress,
        };
        let Some(rules) = rules else { continue };
        isolated = true;
        let admits = |rule: &PolicyRule| {
            let peers = &rule.peers;
            (peers.is_empty() || peers.iter().any(|peer| is_peer(peer, other, policy.meta.namespace)))
                && (rule.ports.is_empty() || rule.ports.iter().any(|port| is_port(port, connection)))
        };
        if rules.iter().any(admits) {
            return true;
        }
    }
    !isolated
}

/// Whether a party is the node on which a pod runs, which may always reach it.
fn is_own_node(party: Party<'_>, pod: &Pod) -> bool {
    match party.who {
        Who::Node(node) => pod.node == Some(node),
        Who::Pod { pod: other, .. } => {
            other.spec.host_network && other.node.is_some() && other.node == pod.node
        }
        Who::Outside => false,
    }
}

fn is_peer(peer: &PolicyPeer, party: Party<'_>, namespace: Symbol) -> bool {
    match peer {
        PolicyPeer::Block { cidr, except } => {
            cidr.contains(party.ip) && !except.iter().any(|part| part.contains(party.ip))
        }
        PolicyPeer::Pods { namespaces, pods } => {
            let Who::Pod { pod, namespace_labels } = party.who else { return false };
            let in_namespace = match namespaces {
                Some(selector) => selector.matches(namespace_labels),
                None => pod.meta.namespace == namespace,
            };
            let chosen = pods.as_ref().is_none_or(|selector| selector.matches(&pod.meta.labels));
            !pod.spec.host_network && in_namespace && chosen
        }
    }
}

/// Whether a port of a policy is the receiver's. Its name is that of a port of the receiver's
/// containers.
fn is_port(port: &PolicyPort, connection: Connection<'_>) -> bool {
    if port.protocol != connection.protocol {
        return false;
    }
    match (port.port, port.end_port) {
        (None, _) => true,
        (Some(PortRef::Number(first)), Some(last)) => (first..=last).contains(&connection.port),
        (Some(PortRef::Number(number)), None) => number == connection.port,
        (Some(PortRef::Name(name)), _) => {
            let Who::Pod { pod, .. } = connection.to.who else { return false };
            let ports = pod.spec.all_containers().flat_map(|container| container.ports.iter());
            let mut named = ports.filter(|own| own.name == name && own.protocol == port.protocol);
            named.any(|own| own.container_port == connection.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use seatrial_api::container::{Container, ContainerPort};
    use seatrial_api::labels::Selector;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::networking::Cidr;
    use seatrial_api::pod::PodSpec;

    fn labels(words: &str) -> Labels {
        let pairs: Vec<(&str, &str)> = words.split(' ').filter_map(|word| word.split_once('=')).collect();
        Labels::of(&pairs)
    }

    fn selector(words: &str) -> Selector {
        Selector::of_labels(&labels(words))
    }

    /// A pod of a namespace with labels, whose container has the port `http`, 8080.
    fn pod(namespace: &str, words: &str) -> Pod {
        let mut container = Container::new("c", "i");
        container.ports = Box::new([ContainerPort {
            name: "http".into(),
            container_port: 8080,
            host_port: 0,
            host_ip: "".into(),
            protocol: Protocol::Tcp,
        }]);
        let mut pod = Pod::new(ObjectMeta::named(namespace, "p"), Arc::new(PodSpec::new(vec![container])));
        pod.meta.labels = labels(words);
        pod.node = Some("n1".into());
        pod
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 1, 0, last))
    }

    fn policy(pods: &str) -> NetworkPolicy {
        let meta = ObjectMeta::named("shop", "policy");
        NetworkPolicy { meta, pods: selector(pods), ingress: None, egress: None }
    }

    fn rule(peers: &[PolicyPeer], ports: &[PolicyPort]) -> PolicyRule {
        PolicyRule { peers: peers.into(), ports: ports.into() }
    }

    fn tcp(port: Option<PortRef>, end_port: Option<u16>) -> PolicyPort {
        PolicyPort { protocol: Protocol::Tcp, port, end_port }
    }

    fn pods(namespaces: Option<&str>, pods: Option<&str>) -> PolicyPeer {
        PolicyPeer::Pods { namespaces: namespaces.map(selector), pods: pods.map(selector) }
    }

    fn range(text: &str) -> Cidr {
        Cidr::parse(text).expect("a range")
    }

    struct Cluster {
        team: Labels,
        web: Pod,
        db: Pod,
        tool: Pod,
    }

    impl Cluster {
        fn new() -> Cluster {
            Cluster {
                team: labels("team=ops"),
                web: pod("shop", "app=web"),
                db: pod("shop", "app=db"),
                tool: pod("ops", "app=tool"),
            }
        }

        fn party(&self, name: &str) -> Party<'_> {
            let of = |pod, namespace_labels, last| Party {
                ip: address(last),
                who: Who::Pod { pod, namespace_labels },
            };
            match name {
                "web" => of(&self.web, &Labels::NONE, 1),
                "db" => of(&self.db, &Labels::NONE, 2),
                "tool" => of(&self.tool, &self.team, 3),
                "own-node" => Party { ip: address(100), who: Who::Node("n1".into()) },
                "other-node" => Party { ip: address(101), who: Who::Node("n2".into()) },
                _ => Party { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), who: Who::Outside },
            }
        }

        fn judge(&self, policies: &[NetworkPolicy], words: &str, port: u16) -> Verdict {
            let (from, to) = words.split_once(" > ").expect("two parties");
            let connection =
                Connection { from: self.party(from), to: self.party(to), protocol: Protocol::Tcp, port };
            judge(policies, connection)
        }
    }

    use Verdict::{Allowed, DeniedByEgress, DeniedByIngress};

    #[test]
    fn pods_that_no_policy_selects_are_open_and_an_empty_list_closes() {
        let cluster = Cluster::new();
        let closed = NetworkPolicy { ingress: Some(Box::default()), ..policy("app=db") };
        for (policies, connection, expected) in [
            (&[][..], "outside > db", Allowed),
            (std::slice::from_ref(&closed), "web > db", DeniedByIngress),
            (std::slice::from_ref(&closed), "db > web", Allowed),
            (std::slice::from_ref(&closed), "outside > web", Allowed),
            (std::slice::from_ref(&closed), "own-node > db", Allowed),
            (std::slice::from_ref(&closed), "other-node > db", DeniedByIngress),
        ] {
            assert_eq!(cluster.judge(policies, connection, 8080), expected, "{connection}");
        }
        let no_way_out = NetworkPolicy { egress: Some(Box::default()), ..policy("") };
        for (connection, expected) in
            [("web > db", DeniedByEgress), ("tool > db", Allowed), ("web > outside", DeniedByEgress)]
        {
            assert_eq!(cluster.judge(std::slice::from_ref(&no_way_out), connection, 1), expected);
        }
        assert_eq!(isolation([&closed, &no_way_out], &cluster.db), (true, true));
        assert_eq!(isolation([&closed, &no_way_out], &cluster.web), (false, true));
        assert_eq!(isolation([&closed, &no_way_out], &cluster.tool), (false, false));
    }

    #[test]
    fn peers_are_alternatives_and_the_selectors_of_one_are_joined() {
        let cluster = Cluster::new();
        // Peers of a rule for db, and who gets through.
        for (peers, allowed) in [
            (vec![], &["web", "tool", "outside"][..]),
            (vec![pods(None, Some(""))], &["web"]),
            (vec![pods(None, Some("app=web"))], &["web"]),
            (vec![pods(None, Some("app=tool"))], &[]),
            (vec![pods(Some(""), None)], &["web", "tool"]),
            (vec![pods(Some("team=ops"), None)], &["tool"]),
            (vec![pods(Some("team=ops"), Some("app=web"))], &[]),
            (vec![pods(Some("team=ops"), None), pods(None, Some("app=web"))], &["web", "tool"]),
            (vec![PolicyPeer::Block { cidr: range("192.0.2.0/24"), except: Box::default() }], &["outside"]),
            (
                vec![PolicyPeer::Block {
                    cidr: range("192.0.2.0/24"),
                    except: Box::new([range("192.0.2.8/29")]),
                }],
                &[],
            ),
            (
                vec![PolicyPeer::Block {
                    cidr: range("0.0.0.0/0"),
                    except: Box::new([range("10.1.0.1/32")]),
                }],
                &["tool", "outside"],
            ),
        ] {
            let ingress: Option<Box<[PolicyRule]>> = Some(Box::new([rule(&peers, &[])]));
            let policies = [NetworkPolicy { ingress, ..policy("app=db") }];
            for from in ["web", "tool", "outside"] {
                let verdict = cluster.judge(&policies, &format!("{from} > db"), 5432);
                let expected = if allowed.contains(&from) { Allowed } else { DeniedByIngress };
                assert_eq!(verdict, expected, "{peers:?} {from}");
            }
        }
    }

    #[test]
    fn ports_are_those_of_the_receiver_by_number_range_or_name() {
        let cluster = Cluster::new();
        let named = |name: &str| tcp(Some(PortRef::Name(name.into())), None);
        let udp = PolicyPort { protocol: Protocol::Udp, port: None, end_port: None };
        // Ports of a rule, and for 79, 80, 90 and 8080 whether they are open.
        for (ports, expected) in [
            (vec![], [true, true, true, true]),
            (vec![tcp(None, None)], [true, true, true, true]),
            (vec![tcp(Some(PortRef::Number(80)), None)], [false, true, false, false]),
            (vec![tcp(Some(PortRef::Number(80)), Some(90))], [false, true, true, false]),
            (vec![named("http")], [false, false, false, true]),
            (vec![named("other")], [false, false, false, false]),
            (vec![udp], [false, false, false, false]),
            (vec![udp, named("http")], [false, false, false, true]),
        ] {
            let rules: Option<Box<[PolicyRule]>> = Some(Box::new([rule(&[], &ports)]));
            let ingress = NetworkPolicy { ingress: rules.clone(), ..policy("app=db") };
            let egress = NetworkPolicy { egress: rules, ..policy("app=web") };
            for (policies, denied) in [([ingress], DeniedByIngress), ([egress], DeniedByEgress)] {
                let open = [79, 80, 90, 8080].map(|port| {
                    let verdict = cluster.judge(&policies, "web > db", port);
                    assert!(verdict == Allowed || verdict == denied);
                    verdict == Allowed
                });
                assert_eq!(open, expected, "{ports:?}");
            }
        }
    }

    #[test]
    fn policies_add_up_and_peers_and_ports_of_a_rule_must_both_fit() {
        let cluster = Cluster::new();
        let of = |peers: &[PolicyPeer], port: u16| {
            let rule = rule(peers, &[tcp(Some(PortRef::Number(port)), None)]);
            NetworkPolicy { ingress: Some(Box::new([rule])), ..policy("app=db") }
        };
        let policies = [of(&[pods(None, Some("app=web"))], 80), of(&[pods(Some("team=ops"), None)], 81)];
        for (connection, port, expected) in [
            ("web > db", 80, Allowed),
            ("web > db", 81, DeniedByIngress),
            ("tool > db", 81, Allowed),
            ("tool > db", 80, DeniedByIngress),
        ] {
            assert_eq!(cluster.judge(&policies, connection, port), expected, "{connection} {port}");
        }
    }

    #[test]
    fn pods_in_the_network_of_their_node_are_no_pods() {
        let mut cluster = Cluster::new();
        let spec = PodSpec { host_network: true, ..PodSpec::clone(&cluster.web.spec) };
        cluster.web.spec = Arc::new(spec);
        let everyone = |peers: &[PolicyPeer]| NetworkPolicy {
            ingress: Some(Box::new([rule(peers, &[])])),
            ..policy("")
        };
        let policies = [everyone(&[pods(None, Some(""))])];
        assert_eq!(cluster.judge(&policies, "tool > web", 1), Allowed, "it is not isolated");
        assert_eq!(cluster.judge(&policies, "web > db", 1), Allowed, "from the pod's own node");
        cluster.db.node = Some("n2".into());
        assert_eq!(cluster.judge(&policies, "web > db", 1), DeniedByIngress, "no selector finds it");
        let block = PolicyPeer::Block { cidr: range("10.1.0.1/32"), except: Box::default() };
        assert_eq!(cluster.judge(&[everyone(&[block])], "web > db", 1), Allowed, "its address does");
    }
}
