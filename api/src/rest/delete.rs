//! DELETE: one object, or all that a client selects.

use super::machine::{Outcome, Rest, body};
use super::read::Selection;
use super::request::{HttpRequest, Query, Target};
use super::resource::Resource;
use super::status::{Details, Refusal};
use super::{errors::Errors, errors::Path};
use crate::document::Node;
use crate::object::Object;
use crate::request::{DeleteOptions, Propagation, Request, WatchEvent};
use crate::units::SimTime;

/// Namespaces that stay.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// What a client wants of a deletion.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) options: DeleteOptions,
    /// Preconditions: identity and version.
    uid: String,
    version: String,
    pub(super) dry_run: bool,
}

impl Wanted {
    /// Reads the options of a deletion from a body, or from the query where there is no body.
    pub(super) fn parse(request: &HttpRequest<'_>, query: &Query) -> Result<Wanted, Refusal> {
        let given = match request.body.is_empty() {
            true => from_query(query)?,
            false => body(request, "DeleteOptions")?.0,
        };
        Wanted::of(&given)
    }

    /// Reads a DeleteOptions document.
    pub(super) fn of(given: &Node) -> Result<Wanted, Refusal> {
        let structure = crate::schema::schema().get("meta/v1.DeleteOptions");
        if let Some(error) = structure.and_then(|structure| super::decode::decode(given, structure).error) {
            return Err(Refusal::bad_request(error));
        }
        let mut errors = Errors::new();
        let policy = given.field("propagationPolicy").and_then(Node::as_str);
        let orphan = given.field("orphanDependents").and_then(Node::as_bool);
        let path = Path::new("propagationPolicy");
        if let Some(policy) = policy {
            if orphan.is_some() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                errors.invalid(&path, policy, detail);
            }
            if !matches!(policy, "Foreground" | "Background" | "Orphan") {
                errors.unsupported(&path, policy, &["Foreground", "Background", "Orphan", "nil"]);
            }
        }
        let runs = given.elements("dryRun");
        if runs.iter().any(|run| run.as_str() != Some("All")) {
            errors.unsupported(&Path::new("dryRun"), Node::list(runs.clone()), &["All"]);
        }
        if !errors.is_empty() {
            return Err(Refusal::invalid("meta.k8s.io", "DeleteOptions", "", &errors));
        }
        let propagation = match (policy, orphan) {
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            _ => None,
        };
        let preconditions = given.field("preconditions").cloned().unwrap_or_else(Node::empty);
        Ok(Wanted {
            options: DeleteOptions {
                grace_period_seconds: given.number("gracePeriodSeconds"),
                propagation,
                resource_version: None,
            },
            uid: preconditions.str("uid").to_owned(),
            version: preconditions.str("resourceVersion").to_owned(),
            dry_run: !runs.is_empty(),
        })
    }
}

fn from_query(query: &Query) -> Result<Node, Refusal> {
    let mut given = Node::empty();
    if query.has("gracePeriodSeconds") {
        given.set("gracePeriodSeconds", Node::int(query.number("gracePeriodSeconds")?));
    }
    if query.has("propagationPolicy") {
        given.set("propagationPolicy", Node::text(query.get("propagationPolicy")));
    }
    if query.has("orphanDependents") {
        let orphan = !matches!(query.get("orphanDependents"), "false" | "0");
        given.set("orphanDependents", Node::bool(orphan));
    }
    Ok(given)
}

/// Whether the answer to a deletion is the object itself.
fn answers_with_object(resource: &Resource) -> bool {
    matches!(
        resource.kind,
        "Pod"
            | "Service"
            | "Namespace"
            | "PersistentVolume"
            | "PersistentVolumeClaim"
            | "ServiceAccount"
            | "ResourceQuota"
    ) || resource.group == "storage.k8s.io"
}

impl Rest {
    pub(super) fn delete(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
    ) -> Outcome {
        let resource = target.resource;
        let wanted = Wanted::parse(request, query)?;
        if resource.kind == "Namespace" && IMMORTAL.contains(&target.name.as_str()) {
            return Err(Refusal::forbidden(resource, &target.name, "this namespace may not be deleted"));
        }
        if wanted.dry_run {
            return self.clone().delete_wanted(now, target, &wanted, &mut Vec::new());
        }
        self.delete_wanted(now, target, &wanted, events)
    }

    fn delete_wanted(
        &mut self,
        now: SimTime,
        target: &Target,
        wanted: &Wanted,
        events: &mut Vec<WatchEvent>,
    ) -> Outcome {
        let resource = target.resource;
        let stored = self.find(target).ok_or_else(|| Refusal::not_found(resource, &target.name))?;
        self.check_preconditions(resource, &stored, wanted)?;
        let (object, document) = self.delete_object(now, resource, &stored, wanted, events)?;
        let stays = self.server.get(object.object_ref()).is_some();
        if stays || answers_with_object(resource) {
            return Ok((200, document));
        }
        let details = Details {
            name: target.name.clone(),
            group: resource.group.into(),
            kind: resource.plural.into(),
            uid: object.meta().uid.to_string(),
            ..Details::default()
        };
        let success = [
            ("kind", Node::text("Status")),
            ("apiVersion", Node::text("v1")),
            ("metadata", Node::empty()),
            ("status", Node::text("Success")),
            ("details", details.to_node()),
        ];
        Ok((200, Node::object(success)))
    }

    /// Deletes an object; returns it and its document as they were last.
    pub(super) fn delete_object(
        &mut self,
        now: SimTime,
        resource: &'static Resource,
        stored: &Object,
        wanted: &Wanted,
        events: &mut Vec<WatchEvent>,
    ) -> Result<(Object, Node), Refusal> {
        let request = Request::Delete { target: stored.object_ref(), options: wanted.options };
        let deleted = self
            .server
            .handle(now, request, events)
            .map_err(|error| Refusal::of_store(resource, &stored.meta().name, error))?;
        let mut document = self.document(resource, &deleted);
        // Only pods are deleted with grace; of others a mark is left where they stay for a while.
        let gone = self.server.get(deleted.object_ref()).is_none();
        if resource.kind != "Pod" && gone {
            let meta = document.mapping_mut("metadata");
            meta.remove("deletionGracePeriodSeconds");
            meta.remove("deletionTimestamp");
        }
        self.forget(&deleted);
        Ok((deleted, document))
    }

    fn check_preconditions(
        &self,
        resource: &'static Resource,
        stored: &Object,
        wanted: &Wanted,
    ) -> Result<(), Refusal> {
        let meta = stored.meta();
        let (uid, version) = (meta.uid.to_string(), meta.resource_version.to_string());
        let why = if !wanted.uid.is_empty() && wanted.uid != uid {
            format!(
                "the UID in the precondition ({}) does not match the UID in record ({uid}). The object might have \
                 been deleted and then recreated",
                wanted.uid
            )
        } else if !wanted.version.is_empty() && wanted.version != version {
            format!(
                "the ResourceVersion in the precondition ({}) does not match the ResourceVersion in record \
                 ({version}). The object might have been modified",
                wanted.version
            )
        } else {
            return Ok(());
        };
        // Here upstream names the kind where it names the resource elsewhere.
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": {why}",
            resource.qualified_kind(),
            meta.name
        );
        let details = Details {
            name: meta.name.to_string(),
            group: resource.group.into(),
            kind: resource.kind.into(),
            ..Details::default()
        };
        Err(Refusal { details: Some(Box::new(details)), ..Refusal::new(409, "Conflict", message) })
    }

    pub(super) fn delete_collection(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
    ) -> Outcome {
        let resource = target.resource;
        if resource.kind == "Namespace" || resource.namespaced && target.namespace.is_empty() {
            return Err(Refusal::method_not_allowed());
        }
        let wanted = Wanted::parse(request, query)?;
        if wanted.dry_run && !query.is_dry_run() {
            return self.clone().delete_selected(now, target, query, &wanted, &mut Vec::new());
        }
        self.delete_selected(now, target, query, &wanted, events)
    }

    fn delete_selected(
        &mut self,
        now: SimTime,
        target: &Target,
        query: &Query,
        wanted: &Wanted,
        events: &mut Vec<WatchEvent>,
    ) -> Outcome {
        let selection = Selection::parse(target, query)?;
        let (_, mut list) = self.list(target, query)?;
        let mut items = Vec::new();
        for (object, _) in self.selected(target, &selection) {
            let (_, document) = self.delete_object(now, target.resource, &object, wanted, events)?;
            items.push(document);
        }
        list.set("items", Node::list(items));
        Ok((200, list))
    }
}
