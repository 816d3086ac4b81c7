//! Reads a case.

use std::sync::Arc;

use seatrial_api::calendar::Calendar;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{FieldPath, Mapping, Node, Value};
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::object::{Object, Typed};
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::version::KubernetesVersion;
use seatrial_scheduler::cases::{Case, Play};

use super::SchedulerCase;
use crate::file::scheduler;
use crate::recordings::json;
use crate::schema::{Definitions, Field, JsonSchema, LabelMap, Reader, Text, record};

record! {
    /// A scheduler case.
    pub(crate) struct CaseFields {
        /// The version of the schema: 1.
        schema("schema"): u32 = "1",
        /// The name.
        id("id"): Text,
        /// Who decided.
        _oracle("oracle"): Option<Text>,
        /// What it is about.
        features("features"): Vec<Text>,
        /// The scheduler's configuration; absent for the default.
        config("config"): Option<Raw>,
        /// The nodes.
        nodes("nodes"): Vec<Raw>,
        /// Pods on nodes or nominated to nodes.
        existing("existingPods"): Vec<Raw>,
        /// All other objects.
        objects("objects"): Option<ObjectLists>,
        /// The pods to place.
        pods("pods"): Vec<Raw>,
        /// What was decided.
        expected("expected"): Option<Vec<Raw>>,
    }
}

record! {
    /// Objects by kind.
    pub(crate) struct ObjectLists {
        /// Namespaces.
        namespaces("namespaces"): Vec<Raw>,
        /// Priority classes; pods have their priority already.
        priority_classes("priorityClasses"): Vec<Raw>,
        /// Disruption budgets.
        budgets("podDisruptionBudgets"): Vec<Raw>,
        /// Services.
        services("services"): Vec<Raw>,
        /// ReplicaSets.
        replica_sets("replicaSets"): Vec<Raw>,
        /// StatefulSets.
        stateful_sets("statefulSets"): Vec<Raw>,
        /// ReplicationControllers.
        replication_controllers("replicationControllers"): Vec<ReplicationController>,
        /// Volumes.
        volumes("persistentVolumes"): Vec<Raw>,
        /// Claims.
        claims("persistentVolumeClaims"): Vec<Raw>,
        /// Storage classes.
        storage_classes("storageClasses"): Vec<Raw>,
        /// The storage drivers of nodes.
        csi_nodes("csiNodes"): Vec<Raw>,
        /// Storage drivers.
        csi_drivers("csiDrivers"): Vec<Raw>,
    }
}

/// A ReplicationController: which pods are its own.
#[derive(Clone, Debug)]
pub(crate) struct ReplicationController {
    namespace: Symbol,
    name: Symbol,
    selector: Arc<Selector>,
}

impl Field for ReplicationController {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<ReplicationController> {
        let mut text = |keys: &[&str]| {
            let found = node.at(keys);
            let text = found.and_then(Node::as_str).map(Symbol::new);
            text.or_else(|| {
                reader.wrong(found.unwrap_or(node), path, &format!("a text as {}", keys.join(".")))
            })
        };
        let (namespace, name) = (text(&["metadata", "namespace"]), text(&["metadata", "name"]));
        let selector = match node.at(&["spec", "selector"]) {
            Some(selector) => LabelMap::read(selector, &path.key("spec"), reader)?.0,
            None => Vec::new(),
        };
        let selector = Arc::new(Selector::of_labels(&Labels::new(selector)));
        Some(ReplicationController { namespace: namespace?, name: name?, selector })
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

/// A value as it stands there.
#[derive(Clone, Debug)]
pub(crate) struct Raw(Node);

impl Field for Raw {
    fn read(node: &Node, _: &FieldPath<'_>, _: &mut Reader<'_>) -> Option<Raw> {
        Some(Raw(node.clone()))
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

impl SchedulerCase {
    /// Reads a case, to be played as `version` behaves.
    pub(in crate::recordings) fn read(
        node: &Node,
        version: KubernetesVersion,
        reader: &mut Reader<'_>,
    ) -> Option<SchedulerCase> {
        let path = FieldPath::ROOT;
        let fields = CaseFields::read(node, &path, reader)?;
        if fields.schema != 1 {
            let found = node.get("schema").unwrap_or(node);
            return reader.wrong(found, &path.key("schema"), "1");
        }
        let mut objects = Objects::new(version, &mut *reader);
        let mut case = Case {
            nodes: objects.typed("Node", "v1", &fields.nodes),
            pods: objects.typed("Pod", "v1", &fields.existing),
            ..Case::default()
        };
        let pods: Vec<Arc<Pod>> = objects.typed("Pod", "v1", &fields.pods);
        if let Some(lists) = &fields.objects {
            lists.add_to(&mut case, &mut objects);
        }
        if objects.faulty {
            return None;
        }
        if let Some(config) = &fields.config {
            case.configuration = scheduler::configuration(&config.0, &path.key("config"), reader)?;
        }
        case.configuration.version = version;
        let play = match Play::new(&case) {
            Ok(play) => play,
            Err(problem) => {
                let config = node.get("config").unwrap_or(node);
                scheduler::refuse(config, &path.key("config"), &problem, reader);
                return None;
            }
        };
        let expected: Option<Vec<_>> =
            fields.expected.map(|list| list.iter().map(|entry| json::plain(&entry.0)).collect());
        if let Some(expected) = expected.as_ref().filter(|expected| expected.len() != pods.len()) {
            let found = node.get("expected").unwrap_or(node);
            reader.error(found.position, &path.key("expected"), |error| {
                error.expected(
                    format!("{} decisions, one for each pod", pods.len()),
                    expected.len().to_string(),
                )
            });
            return None;
        }
        let features = fields.features.iter().map(|Text(feature)| feature.to_string()).collect();
        Some(SchedulerCase { id: fields.id.0.to_string(), features, case, pods, expected, play })
    }
}

impl ObjectLists {
    fn add_to(&self, case: &mut Case, objects: &mut Objects<'_, '_>) {
        for (kind, api_version, list) in [
            ("Namespace", "v1", &self.namespaces),
            ("PriorityClass", "scheduling.k8s.io/v1", &self.priority_classes),
            ("PodDisruptionBudget", "policy/v1", &self.budgets),
            ("Service", "v1", &self.services),
            ("ReplicaSet", "apps/v1", &self.replica_sets),
            ("StatefulSet", "apps/v1", &self.stateful_sets),
            ("PersistentVolume", "v1", &self.volumes),
            ("PersistentVolumeClaim", "v1", &self.claims),
            ("StorageClass", "storage.k8s.io/v1", &self.storage_classes),
            ("CSINode", "storage.k8s.io/v1", &self.csi_nodes),
            ("CSIDriver", "storage.k8s.io/v1", &self.csi_drivers),
        ] {
            case.objects.extend(list.iter().filter_map(|raw| objects.decode(kind, api_version, raw)));
        }
        case.owners = self
            .replication_controllers
            .iter()
            .map(|one| {
                (
                    ("ReplicationController".into(), one.namespace, one.name.as_str().into()),
                    one.selector.clone(),
                )
            })
            .collect();
    }
}

/// Reads objects of which the list they are in says what they are.
struct Objects<'r, 'f> {
    reader: &'r mut Reader<'f>,
    decoder: Decoder,
    /// Whether one of them had errors.
    faulty: bool,
}

impl<'r, 'f> Objects<'r, 'f> {
    fn new(version: KubernetesVersion, reader: &'r mut Reader<'f>) -> Objects<'r, 'f> {
        let decoder = Decoder::new(Mode::State, Calendar::default(), version);
        Objects { reader, decoder, faulty: false }
    }

    fn decode(&mut self, kind: &str, api_version: &str, raw: &Raw) -> Option<Object> {
        let text = |text: &str| Node { value: Value::String(text.into()), position: raw.0.position };
        let typed = raw.0.as_mapping().map(|fields: &Mapping| {
            let fields = fields.with("kind", text(kind)).with("apiVersion", text(api_version));
            Node { value: Value::Mapping(fields), position: raw.0.position }
        });
        let node = typed.unwrap_or_else(|| raw.0.clone());
        let decoder = &mut self.decoder;
        let object = self.reader.decode(|file, findings| decoder.decode(&node, file, findings));
        self.faulty |= object.is_none();
        object
    }

    fn typed<T: Typed>(&mut self, kind: &str, api_version: &str, list: &[Raw]) -> Vec<Arc<T>> {
        let mut found = Vec::new();
        for raw in list {
            found.extend(self.decode(kind, api_version, raw).as_ref().and_then(T::of).cloned());
        }
        found
    }
}
