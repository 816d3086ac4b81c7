//! Which backend an Ingress controller gives a request to, and with which certificate.
//!
//! The rules are those that the API promises, whichever controller serves them. Where it leaves the
//! choice to the controller: paths of type `ImplementationSpecific` are prefixes, and of several
//! Ingresses that say something about the same host and path the oldest wins.

use std::cmp::{Ordering, Reverse};

use seatrial_api::container::PortRef;
use seatrial_api::networking::{Ingress, IngressBackend, IngressTls, PathType};
use seatrial_api::service::{EndpointSlice, Service, ServicePort};

use crate::proxy::Backend;

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    /// The host, with or without a port; empty if it names none.
    pub host: &'a str,
    /// The path, with or without a query.
    pub path: &'a str,
}

/// What was chosen, and by which Ingress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice<'a> {
    /// The Ingress.
    pub ingress: &'a Ingress,
    /// The backend.
    pub backend: &'a IngressBackend,
}

/// How well a host fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostMatch {
    Any,
    Wildcard,
    Exact,
}

/// The backend of a request among the Ingresses that a controller serves; `None` is answered with
/// 404. The order of the Ingresses does not matter.
///
/// The best host decides first: the name itself, then a wildcard, then rules for all hosts. Among
/// the paths of that host an exact one wins, then the longest. What no path is about goes to the
/// default backend of an Ingress that has rules for the host, then to any.
pub fn choose<'a>(
    ingresses: impl IntoIterator<Item = &'a Ingress>,
    request: HttpRequest<'_>,
) -> Option<Choice<'a>> {
    let host = without_port(request.host).to_ascii_lowercase();
    let path = request.path.split(['?', '#']).next().unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let mut ingresses: Vec<&Ingress> = ingresses.into_iter().collect();
    ingresses.sort_by(|a, b| by_age(a, b));
    let fits =
        |ingress: &Ingress| ingress.rules.iter().filter_map(|rule| match_host(&rule.host, &host)).max();
    let best = ingresses.iter().filter_map(|ingress| fits(ingress)).max();
    let mut of_host = Vec::new();
    for &ingress in &ingresses {
        let rules = ingress.rules.iter();
        for rule in rules.filter(|rule| best.is_some() && match_host(&rule.host, &host) == best) {
            let paths = rule.paths.iter().flat_map(|paths| paths.iter());
            of_host.extend(paths.map(|path| (ingress, path)));
        }
    }
    let matching = of_host.into_iter().filter(|(_, rule)| match_path(rule.path_type, &rule.path, path));
    // The first of the best: the oldest.
    let chosen =
        matching.min_by_key(|(_, rule)| (rule.path_type != PathType::Exact, Reverse(rule.path.len())));
    if let Some((ingress, rule)) = chosen {
        return Some(Choice { ingress, backend: &rule.backend });
    }
    let own = ingresses.iter().filter(|ingress| best.is_some() && fits(ingress) == best);
    let others = ingresses.iter();
    let mut defaults = own
        .chain(others)
        .filter_map(|&ingress| ingress.default_backend.as_ref().map(|backend| Choice { ingress, backend }));
    defaults.next()
}

/// The certificate for a host: of an entry that names it, else of one with a fitting wildcard, else
/// of one that names no host.
pub fn certificate<'a>(
    ingresses: impl IntoIterator<Item = &'a Ingress>,
    host: &str,
) -> Option<&'a IngressTls> {
    let host = without_port(host).to_ascii_lowercase();
    let mut ingresses: Vec<&Ingress> = ingresses.into_iter().collect();
    ingresses.sort_by(|a, b| by_age(a, b));
    let entries = ingresses.into_iter().flat_map(|ingress| ingress.tls.iter());
    let fits = |entry: &IngressTls| match entry.hosts.is_empty() {
        true => Some(HostMatch::Any),
        false => entry.hosts.iter().filter_map(|own| match_host(own, &host)).max(),
    };
    let fitting = entries.filter_map(|entry| Some((Reverse(fits(entry)?), entry)));
    fitting.min_by_key(|entry| entry.0).map(|entry| entry.1)
}

/// The pods behind a backend's Service: those that are ready, as controllers take them without the
/// virtual IP in between. `None` if the Service has no such port.
pub fn backends(service: &Service, slices: &[&EndpointSlice], port: PortRef) -> Option<Vec<Backend>> {
    let wanted = |own: &&ServicePort| match port {
        PortRef::Number(number) => own.port == number,
        PortRef::Name(name) => own.name == name,
    };
    let port = service.ports.iter().find(wanted)?;
    let mut backends = Vec::new();
    for slice in slices {
        let of_slice = slice.ports.iter().find(|own| own.name == port.name && own.protocol == port.protocol);
        let Some(of_slice) = of_slice else { continue };
        let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready);
        backends.extend(ready.map(|e| Backend { pod: e.pod, ip: e.ip, port: of_slice.port }));
    }
    backends.sort_unstable_by_key(|backend| (backend.ip, backend.port));
    backends.dedup_by_key(|backend| (backend.ip, backend.port));
    Some(backends)
}

fn by_age(a: &Ingress, b: &Ingress) -> Ordering {
    let key = |ingress: &Ingress| (ingress.meta.created, ingress.meta.namespace);
    key(a).cmp(&key(b)).then_with(|| a.meta.name.cmp(&b.meta.name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// How a rule's host fits a host in lower case.
fn match_host(rule: &str, host: &str) -> Option<HostMatch> {
    if rule.is_empty() {
        return Some(HostMatch::Any);
    }
    if let Some(domain) = rule.strip_prefix("*.") {
        let (label, rest) = host.split_once('.')?;
        return (!label.is_empty() && rest == domain).then_some(HostMatch::Wildcard);
    }
    (rule == host).then_some(HostMatch::Exact)
}

fn match_path(path_type: PathType, rule: &str, path: &str) -> bool {
    match path_type {
        PathType::Exact => rule == path,
        PathType::Prefix | PathType::ImplementationSpecific => {
            let rule = rule.strip_suffix('/').unwrap_or(rule);
            let rest = path.strip_prefix(rule);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::container::Protocol;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::networking::{IngressPath, IngressRule};
    use seatrial_api::service::EndpointPort;
    use seatrial_api::units::SimTime;

    use crate::proxy::tests::{endpoint, service};

    fn to(name: &str) -> IngressBackend {
        IngressBackend::Service { name: name.into(), port: PortRef::Number(80) }
    }

    /// A path in words: `=/exact`, `/prefix` or `~/specific`, an arrow, and the backend.
    fn path(words: &str) -> IngressPath {
        let (path, backend) = words.split_once(" > ").expect("a path and a backend");
        let (path_type, path) = match path.as_bytes().first() {
            Some(b'=') => (PathType::Exact, &path[1..]),
            Some(b'~') => (PathType::ImplementationSpecific, &path[1..]),
            _ => (PathType::Prefix, path),
        };
        IngressPath { path: path.into(), path_type, backend: to(backend) }
    }

    fn ingress(name: &str, created: i64, rules: &[(&str, &[&str])], default: Option<&str>) -> Ingress {
        let rule = |&(host, paths): &(&str, &[&str])| IngressRule {
            host: host.into(),
            paths: (!paths.is_empty()).then(|| paths.iter().map(|words| path(words)).collect()),
        };
        let mut meta = ObjectMeta::named("shop", name);
        meta.created = SimTime::from_secs(created);
        Ingress {
            meta,
            class: None,
            default_backend: default.map(to),
            tls: Box::default(),
            rules: rules.iter().map(rule).collect(),
        }
    }

    fn ask(ingresses: &[Ingress], host: &str, path: &str) -> String {
        let choice = choose(ingresses, HttpRequest { host, path });
        choice.map_or("404".into(), |choice| match choice.backend {
            IngressBackend::Service { name, .. } => name.to_string(),
            IngressBackend::Resource { name, .. } => name.to_string(),
        })
    }

    #[test]
    fn the_best_host_decides_before_any_path() {
        let ingresses = [ingress(
            "main",
            0,
            &[
                ("", &["/ > all", "/only-all > all-only"]),
                ("*.foo.com", &["/ > wild"]),
                ("a.foo.com", &["/api > a-api"]),
                ("bare.foo.com", &[]),
            ],
            Some("default"),
        )];
        for (host, path, expected) in [
            ("a.foo.com", "/api", "a-api"),
            ("A.FOO.com:8443", "/api/x", "a-api"),
            ("a.foo.com", "/other", "default"),
            ("b.foo.com", "/", "wild"),
            ("foo.com", "/", "all"),
            ("x.b.foo.com", "/", "all"),
            (".foo.com", "/", "all"),
            ("bare.foo.com", "/", "default"),
            ("", "/only-all", "all-only"),
            ("b.foo.com", "/only-all", "wild"),
        ] {
            assert_eq!(ask(&ingresses, host, path), expected, "{host}{path}");
        }
    }

    #[test]
    fn paths_match_by_elements_and_the_exact_and_the_longest_win() {
        // Paths of a host, and which of them (by its backend) a request gets.
        for (paths, request, expected) in [
            (&["/ > root"][..], "/anything", "root"),
            (&["=/foo > x"], "/foo", "x"),
            (&["=/foo > x"], "/bar", "404"),
            (&["=/foo > x"], "/foo/", "404"),
            (&["=/foo/ > x"], "/foo", "404"),
            (&["=/foo > x"], "/Foo", "404"),
            (&["/foo > x"], "/foo", "x"),
            (&["/foo > x"], "/foo/", "x"),
            (&["/foo/ > x"], "/foo", "x"),
            (&["/foo/ > x"], "/foo/", "x"),
            (&["/aaa/bb > x"], "/aaa/bbb", "404"),
            (&["/aaa/bbb > x"], "/aaa/bbb", "x"),
            (&["/aaa/bbb/ > x"], "/aaa/bbb", "x"),
            (&["/aaa/bbb > x"], "/aaa/bbb/ccc", "x"),
            (&["/aaa/bbb > x"], "/aaa/bbbxyz", "404"),
            (&["/ > root", "/aaa > a"], "/aaa/ccc", "a"),
            (&["/ > root", "/aaa > a"], "/ccc", "root"),
            (&["/aaa > a"], "/ccc", "404"),
            (&["/foo > prefix", "=/foo > exact"], "/foo", "exact"),
            (&["/foo > short", "/foo/ > long"], "/foo/bar", "long"),
            (&["~/foo > x"], "/foo/bar", "x"),
            (&["~ > x"], "/foo/bar", "x"),
            (&["/foo > x"], "/foo?a=/b", "x"),
            (&["/ > root"], "", "root"),
        ] {
            let ingresses = [ingress("main", 0, &[("a.com", paths)], None)];
            assert_eq!(ask(&ingresses, "a.com", request), expected, "{paths:?} {request}");
        }
    }

    #[test]
    fn several_ingresses_are_one_table_in_which_the_oldest_wins() {
        let ingresses = [
            ingress("young", 20, &[("a.com", &["/ > young", "/api > young-api"])], Some("young-default")),
            ingress("old", 10, &[("a.com", &["/ > old"])], None),
            ingress("other", 5, &[("b.com", &["/b > b"])], Some("other-default")),
        ];
        for (host, path, expected) in [
            ("a.com", "/", "old"),
            ("a.com", "/api", "young-api"),
            ("b.com", "/elsewhere", "other-default"),
            ("c.com", "/", "other-default"),
        ] {
            assert_eq!(ask(&ingresses, host, path), expected, "{host}{path}");
        }
        assert_eq!(ask(&[], "a.com", "/"), "404");
    }

    #[test]
    fn certificates_are_chosen_by_host() {
        let with = |name: &str, created: i64, hosts: &[&str], secret: &str| {
            let hosts = hosts.iter().map(|&host| host.into()).collect();
            let tls = Box::new([IngressTls { hosts, secret: secret.into() }]);
            Ingress { tls, ..ingress(name, created, &[], None) }
        };
        let ingresses = [
            with("wild", 0, &["*.foo.com"], "wild"),
            with("exact", 9, &["a.foo.com", "b.org"], "exact"),
            with("younger", 10, &["a.foo.com"], "younger"),
        ];
        for (host, expected) in [
            ("a.foo.com:443", Some("exact")),
            ("b.foo.com", Some("wild")),
            ("b.org", Some("exact")),
            ("foo.com", None),
        ] {
            let found = certificate(&ingresses, host).map(|tls| tls.secret.as_str());
            assert_eq!(found, expected, "{host}");
        }
        let any = [with("any", 0, &[], "any")];
        assert_eq!(certificate(&any, "x.y").map(|tls| tls.secret.as_str()), Some("any"));
    }

    #[test]
    fn a_backend_is_a_port_of_the_service_by_name_or_number() {
        let port = ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port: PortRef::Number(8080),
            node_port: 0,
        };
        let service = Service { ports: Box::new([port]), ..service() };
        let slice = EndpointSlice {
            meta: ObjectMeta::named("default", "web-1"),
            service: "web".into(),
            endpoints: vec![endpoint(2, "n1 a ready"), endpoint(3, "n1 a down")].into(),
            ports: Box::new([EndpointPort { name: "http".into(), protocol: Protocol::Tcp, port: 8080 }]),
        };
        for (port, expected) in [
            (PortRef::Number(80), Some(vec![(2, 8080)])),
            (PortRef::Name("http".into()), Some(vec![(2, 8080)])),
            (PortRef::Number(8080), None),
            (PortRef::Name("other".into()), None),
        ] {
            let found = backends(&service, &[&slice], port);
            let found = found.map(|all| all.iter().map(|b| (b.ip, b.port)).collect::<Vec<_>>());
            assert_eq!(found, expected, "{port:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_prefix_matches_its_own_path_and_everything_below(
            elements in proptest::collection::vec("[a-z]{1,3}", 1..4),
            below in proptest::collection::vec("[a-z]{1,3}", 0..3),
            slash in proptest::bool::ANY,
        ) {
            let rule = format!("/{}{}", elements.join("/"), if slash { "/" } else { "" });
            let base = rule.trim_end_matches('/');
            let path: String = std::iter::once(base.to_string()).chain(below).collect::<Vec<_>>().join("/");
            proptest::prop_assert!(match_path(PathType::Prefix, &rule, &path));
            let longer = format!("{}x", base);
            proptest::prop_assert!(!match_path(PathType::Prefix, &rule, &longer));
        }
    }
}
