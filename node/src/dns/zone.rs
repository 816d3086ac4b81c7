//! Questions to cluster DNS and their answers.

use std::net::Ipv4Addr;

use compact_str::{CompactString, ToCompactString};
use seatrial_api::service::{Endpoint, EndpointSlice, Service};

use super::{Record, records};

/// The type of a record that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of DNS")]
pub enum QueryType {
    A,
    Aaaa,
    Cname,
    Ptr,
    Srv,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name is none of the cluster's: it is asked of the servers that the node uses.
    Forward,
    /// The name does not exist.
    NxDomain,
    /// The records of this type, without those of others; none if the name has none of the type. An
    /// alias stands for whatever was asked.
    Records(Vec<Record>),
}

/// A Service with its slices, as the watches have told of them.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The Service.
    pub service: &'a Service,
    /// Its slices.
    pub slices: &'a [&'a EndpointSlice],
}

/// What cluster DNS knows.
pub trait Zone {
    /// The cluster's domain, such as `cluster.local`.
    fn domain(&self) -> &str;

    /// Whether there is such a namespace.
    fn has_namespace(&self, namespace: &str) -> bool;

    /// A Service with its slices.
    fn service(&self, namespace: &str, name: &str) -> Option<Entry<'_>>;

    /// The host name of an endpoint's pod, see [`super::host_name`].
    fn host_of(&self, service: &Service, endpoint: &Endpoint) -> Option<CompactString>;

    /// Every Service, for questions about addresses.
    fn services(&self) -> Vec<Entry<'_>>;

    /// Answers a question; names are compared without regard to case. Questions about addresses look
    /// at every Service, all others at one.
    fn resolve(&self, question: &str, query: QueryType) -> Answer {
        let question = question.trim_end_matches('.').to_ascii_lowercase();
        if question.ends_with(".in-addr.arpa") || question.ends_with(".ip6.arpa") {
            return self.name_of_address(&question, query);
        }
        let suffix = self.domain().to_ascii_lowercase();
        let Some(name) = question.strip_suffix(&*suffix) else { return Answer::Forward };
        if !name.is_empty() && !name.ends_with('.') {
            return Answer::Forward;
        }
        let name = name.trim_end_matches('.');
        let labels: Vec<&str> = name.split('.').filter(|label| !label.is_empty()).collect();
        match labels[..] {
            [] | ["svc" | "pod"] => Answer::Records(Vec::new()),
            [namespace, "svc" | "pod"] if self.has_namespace(namespace) => Answer::Records(Vec::new()),
            [address, namespace, "pod"] if self.has_namespace(namespace) => pod_record(name, address, query),
            [.., service, namespace, "svc"] => self.of_service(namespace, service, name, query),
            _ => Answer::NxDomain,
        }
    }

    #[doc(hidden)]
    fn of_service(&self, namespace: &str, service: &str, name: &str, query: QueryType) -> Answer {
        let Some(entry) = self.service(namespace, service) else { return Answer::NxDomain };
        let host_of = |endpoint: &Endpoint| self.host_of(entry.service, endpoint);
        let all = records(entry.service, entry.slices.iter().copied(), host_of);
        let mut found: Vec<Record> = all.into_iter().filter(|record| record.name() == name).collect();
        if found.is_empty() {
            return Answer::NxDomain;
        }
        found.retain(|record| matches!(record, Record::Alias { .. }) || record.query_type() == query);
        Answer::Records(found)
    }

    #[doc(hidden)]
    fn name_of_address(&self, question: &str, query: QueryType) -> Answer {
        let entries = self.services();
        let records = entries.iter().flat_map(|entry| {
            let host_of = |endpoint: &Endpoint| self.host_of(entry.service, endpoint);
            records(entry.service, entry.slices.iter().copied(), host_of)
        });
        let named = |record: &Record| record.query_type() == QueryType::Ptr && record.name() == question;
        match records.into_iter().find(named) {
            Some(record) if query == QueryType::Ptr => Answer::Records(vec![record]),
            Some(_) => Answer::Records(Vec::new()),
            None => Answer::Forward,
        }
    }
}

/// The record of a pod by its address, which is made from the question alone (`pods insecure`).
fn pod_record(name: &str, address: &str, query: QueryType) -> Answer {
    let Ok(address) = address.replace('-', ".").parse::<Ipv4Addr>() else { return Answer::NxDomain };
    let record = Record::Address { name: name.into(), address: address.to_compact_string() };
    Answer::Records(Some(record).filter(|_| query == QueryType::A).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::tests::{service, slice};
    use seatrial_api::service::ServiceType;

    struct Cluster {
        services: Vec<(Service, Vec<EndpointSlice>)>,
    }

    struct View<'a>(&'a [(Service, Vec<&'a EndpointSlice>)]);

    impl Zone for View<'_> {
        fn domain(&self) -> &str {
            "cluster.local"
        }

        fn has_namespace(&self, namespace: &str) -> bool {
            namespace == "shop"
        }

        fn service(&self, namespace: &str, name: &str) -> Option<Entry<'_>> {
            self.services()
                .into_iter()
                .find(|entry| entry.service.meta.namespace == namespace && entry.service.meta.name == name)
        }

        fn host_of(&self, _: &Service, _: &Endpoint) -> Option<CompactString> {
            Some("db-0".into())
        }

        fn services(&self) -> Vec<Entry<'_>> {
            self.0.iter().map(|(service, slices)| Entry { service, slices }).collect()
        }
    }

    fn ask(cluster: &Cluster, question: &str, query: QueryType) -> String {
        let rows: Vec<_> = cluster
            .services
            .iter()
            .map(|(service, slices)| (service.clone(), slices.iter().collect()))
            .collect();
        match View(&rows).resolve(question, query) {
            Answer::Forward => "forward".into(),
            Answer::NxDomain => "nxdomain".into(),
            Answer::Records(records) => {
                let text = |record: &Record| match record {
                    Record::Address { address, .. } => address.to_string(),
                    Record::Alias { target, .. } | Record::Pointer { target, .. } => target.to_string(),
                    Record::Port { port, target, .. } => format!("{port} {target}"),
                };
                records.iter().map(text).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn questions_are_answered_forwarded_or_denied() {
        use QueryType::{A, Aaaa, Ptr, Srv};
        let named = |name: &str, service: Service| {
            let mut service = service;
            service.meta.name = name.into();
            service
        };
        let alias = Service { kind: ServiceType::ExternalName, ..named("old", service("")) };
        let cluster = Cluster {
            services: vec![
                (named("api", service("10.0.0.7")), vec![]),
                (named("db", service("None")), vec![slice(true)]),
                (named("sleeping", service("None")), vec![slice(false)]),
                (alias, vec![]),
            ],
        };
        for (question, query, expected) in [
            ("api.shop.svc.cluster.local", A, "10.0.0.7"),
            ("API.Shop.svc.cluster.local.", A, "10.0.0.7"),
            ("api.shop.svc.cluster.local", Aaaa, ""),
            ("_sql._tcp.api.shop.svc.cluster.local", Srv, "5432 api.shop.svc"),
            ("_sql._tcp.api.shop.svc.cluster.local", A, ""),
            ("_sql._udp.api.shop.svc.cluster.local", Srv, "nxdomain"),
            ("db.shop.svc.cluster.local", A, "10.1.2.3"),
            ("db-0.db.shop.svc.cluster.local", A, "10.1.2.3"),
            ("db-1.db.shop.svc.cluster.local", A, "nxdomain"),
            ("sleeping.shop.svc.cluster.local", A, "nxdomain"),
            ("old.shop.svc.cluster.local", A, "db.example.com"),
            ("absent.shop.svc.cluster.local", A, "nxdomain"),
            ("api.other.svc.cluster.local", A, "nxdomain"),
            ("10-9-8-7.shop.pod.cluster.local", A, "10.9.8.7"),
            ("10-9-8-7.shop.pod.cluster.local", Aaaa, ""),
            ("10-9-8.shop.pod.cluster.local", A, "nxdomain"),
            ("10-9-8-7.other.pod.cluster.local", A, "nxdomain"),
            ("shop.svc.cluster.local", A, ""),
            ("other.svc.cluster.local", A, "nxdomain"),
            ("svc.cluster.local", A, ""),
            ("cluster.local", A, ""),
            ("mycluster.local", A, "forward"),
            ("example.com", A, "forward"),
            ("7.0.0.10.in-addr.arpa", Ptr, "api.shop.svc"),
            ("3.2.1.10.in-addr.arpa", Ptr, "db-0.db.shop.svc"),
            ("9.9.9.9.in-addr.arpa", Ptr, "forward"),
        ] {
            assert_eq!(ask(&cluster, question, query), expected, "{question} {query:?}");
        }
    }
}
