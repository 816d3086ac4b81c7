//! Extenders, as `KubeSchedulerConfiguration` has them.

use seatrial_api::document::{FieldPath, Node, Value};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_scheduler::config::{ExtenderConfiguration, ManagedResource};

use super::scheduler_common::{Unsupported, Whole};
use crate::schema::{Definitions, Field, JsonSchema, Reader, Text, record};

record! {
    /// A service that is asked before a pod is placed.
    pub(crate) struct ExtenderField {
        /// Where it is: `http://host:port/path`.
        url("urlPrefix"): HttpAddress,
        /// What is appended to ask which nodes are feasible.
        filter("filterVerb"): Option<Text>,
        /// What is appended to ask which victims of preemption are right.
        preempt("preemptVerb"): Option<Text>,
        /// What is appended to ask how good nodes are.
        prioritize("prioritizeVerb"): Option<Text>,
        /// The weight of its scores.
        weight("weight"): Whole<0, { i32::MAX as i64 }> = "0",
        /// What is appended to ask it to bind a pod.
        bind("bindVerb"): Option<Text>,
        /// Whether it is spoken to by HTTPS.
        _https("enableHTTPS"): Option<No>,
        /// How HTTPS is set up.
        _tls("tlsConfig"): Option<Unsupported>,
        /// How long an answer may take.
        timeout("httpTimeout"): Span = "5s",
        /// Whether names of nodes are enough for it.
        node_cache_capable("nodeCacheCapable"): bool = "false",
        /// Resources in which it is interested; all pods are its business if there are none.
        managed("managedResources"): Vec<ManagedField>,
        /// Whether scheduling goes on without it if it does not answer.
        ignorable("ignorable"): bool = "false",
    }
}

record! {
    /// A resource that an extender manages.
    pub(crate) struct ManagedField {
        /// Its name.
        name("name"): Text,
        /// Whether NodeResourcesFit leaves it to the extender.
        ignored("ignoredByScheduler"): bool = "false",
    }
}

/// `false`: the only thing that a setting without support can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct No;

impl Field for No {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<No> {
        match node.value {
            Value::Bool(false) => Some(No),
            _ => Unsupported::read(node, path, reader).map(|_| No),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("boolean")
    }
}

/// The address of a service that is spoken to by plain HTTP.
#[derive(Clone, Debug)]
pub(crate) struct HttpAddress(String);

impl Field for HttpAddress {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<HttpAddress> {
        let address = node.as_str().filter(|address| {
            address.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        });
        match address {
            Some(address) => Some(HttpAddress(address.to_owned())),
            None => reader.wrong(node, path, "an address such as http://127.0.0.1:8888/scheduler"),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("string")
    }
}

impl ExtenderField {
    pub(super) fn configuration(&self) -> ExtenderConfiguration {
        let verb = |verb: &Option<Text>| {
            verb.as_ref().map(|verb| verb.0.clone()).filter(|verb| !verb.is_empty()).unwrap_or_default()
        };
        let managed = |resource: &ManagedField| ManagedResource {
            name: Symbol::new(&resource.name.0),
            ignored_by_scheduler: resource.ignored,
        };
        ExtenderConfiguration {
            url: self.url.0.as_str().into(),
            filter_verb: verb(&self.filter),
            preempt_verb: verb(&self.preempt),
            prioritize_verb: verb(&self.prioritize),
            bind_verb: verb(&self.bind),
            weight: self.weight.0,
            timeout: if self.timeout == Span::ZERO { Span::from_secs(5) } else { self.timeout },
            node_cache_capable: self.node_cache_capable,
            managed_resources: self.managed.iter().map(managed).collect(),
            is_ignorable: self.ignorable,
        }
    }
}
