//! POST: a new object.

use compact_str::CompactString;

use super::machine::{Incoming, Outcome, Rest};
use super::prepare;
use super::request::{HttpRequest, Query, Target};
use super::status::Refusal;
use super::validate;
use crate::document::Node;
use crate::object::Kind;
use crate::request::{ApiError, WatchEvent};
use crate::symbol::Symbol;
use crate::units::SimTime;

impl Rest {
    pub(super) fn create(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
        warnings: &mut Vec<String>,
    ) -> Outcome {
        query.check_write("CreateOptions")?;
        if target.resource.namespaced && target.namespace.is_empty() {
            return Err(Refusal::method_not_allowed());
        }
        let incoming = self.incoming(request, target, query)?;
        self.create_decoded(now, target, incoming, events, warnings)
    }

    /// Creates the object that a client sent.
    pub(super) fn create_decoded(
        &mut self,
        now: SimTime,
        target: &Target,
        incoming: Incoming,
        events: &mut Vec<WatchEvent>,
        warnings: &mut Vec<String>,
    ) -> Outcome {
        let Incoming { mut object, warnings: complaints } = incoming;
        warnings.extend(complaints);
        same_namespace(&object, target)?;
        let resource = target.resource;
        let meta = object.mapping_mut("metadata");
        if !meta.str("resourceVersion").is_empty() {
            return Err(Refusal::unexplained("resourceVersion should not be set on objects to be created"));
        }
        for key in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "selfLink",
        ] {
            meta.remove(key);
        }
        if resource.namespaced {
            meta.set("namespace", Node::text(&target.namespace));
        }
        let name = meta.str("name").to_owned();
        self.check_namespace(target, &name)?;
        self.admit(target, &mut object, None)?;
        let base = object.get("metadata").map_or("", |meta| meta.str("generateName"));
        let name: CompactString = match name.is_empty() && !base.is_empty() {
            true => {
                self.generate_name(target, base).map_err(|error| Refusal::of_store(resource, base, error))?
            }
            // Validation complains if there is nothing to make a name from.
            false => name.into(),
        };
        let uid = self.server.next_uid();
        let meta = object.mapping_mut("metadata");
        meta.set("name", Node::text(name.clone()));
        meta.set("uid", Node::text(uid.to_string()));
        meta.set("creationTimestamp", Node::text(self.calendar.format(now)));
        prepare::create(resource, &mut object, &self.calendar.format(now));
        let errors = validate::create(resource, &object);
        if !errors.is_empty() {
            return Err(Refusal::invalid(resource.group, resource.kind, &name, &errors));
        }
        self.admit_validated(target, &object)?;
        if let Some(existing) = self.find_in(resource, &target.namespace, &name) {
            return Err(Refusal::already_exists(resource, &name, existing.meta().is_deleting()));
        }
        let object = super::machine::canonical(object, resource);
        let sent = self.typed(&object)?;
        let stored = self
            .server
            .create_identified(now, sent.clone(), uid, events)
            .map_err(|error| Refusal::of_store(resource, &name, error))?;
        Ok((201, self.keep(resource, object, &sent, &stored)))
    }

    fn generate_name(&mut self, target: &Target, base: &str) -> Result<CompactString, ApiError> {
        let (resource, namespace) = (target.resource, Symbol::new(&target.namespace));
        let version = resource.api_version();
        self.server.generate_name(resource.typed(), namespace, base, |server, name| match resource.typed() {
            Kind::Untyped => server.find_untyped(&version, resource.kind, namespace, name).is_some(),
            kind => server.find(kind, namespace, name).is_some(),
        })
    }

    /// Namespaced objects need their namespace, and one that is not going away.
    fn check_namespace(&self, target: &Target, name: &str) -> Result<(), Refusal> {
        if target.namespace.is_empty() {
            return Ok(());
        }
        let namespace = &target.namespace;
        match self.server.find(Kind::Namespace, Symbol::empty(), namespace) {
            None => Err(Refusal::no_namespace(namespace)),
            Some(found) if found.meta().is_deleting() => {
                let why = format!(
                    "unable to create new content in namespace {namespace} because it is being terminated"
                );
                let mut refusal = Refusal::forbidden(target.resource, name, &why);
                if let Some(details) = &mut refusal.details {
                    details.causes = vec![super::status::Cause {
                        reason: "NamespaceTerminating".into(),
                        message: format!("namespace {namespace} is being terminated"),
                        field: "metadata.namespace".into(),
                    }];
                }
                Err(refusal)
            }
            Some(_) => Ok(()),
        }
    }
}

/// A document may repeat the namespace of the path, and not name another.
pub(super) fn same_namespace(object: &Node, target: &Target) -> Result<(), Refusal> {
    let own = object.get("metadata").map_or("", |meta| meta.str("namespace"));
    if target.resource.namespaced && !own.is_empty() && own != target.namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}
