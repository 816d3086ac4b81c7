//! What people do, checked against what there is.

use std::path::Path;

use seatrial_api::object::{Kind, Object};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::cluster::config::{Action, NamedObject, TimelineEntry};

use super::check::{Checker, Referent};
use super::nodes::{Machines, NODES_MAX};
use super::objects::{KnownObjects, Mention, ObjectSource};
use crate::file::ManifestSource;
use crate::file::timeline::{AddNodes, Entry, Restart, Scaled, SetImage, Workload};
use crate::schema::{ObjectName, Placed, Text};

/// How often an entry can be repeated.
const REPETITIONS_MAX: u32 = 100_000;

/// The instants of an entry: the first, and after how long again.
struct Times {
    first: SimTime,
    every: Option<Span>,
    /// How often in all, if that is bounded.
    times: Option<u32>,
}

/// Objects that each entry of the timeline applies.
pub(super) fn read_applied(
    entries: &[Entry],
    folder: &Path,
    source: &mut ObjectSource<'_>,
    checker: &mut Checker<'_>,
) -> Vec<Vec<Object>> {
    let apply = |entry: &Entry| {
        let mut objects = Vec::new();
        for manifest in entry.apply.iter().flat_map(|sources| &sources.0) {
            read_manifest(manifest, folder, source, &mut objects, checker);
        }
        objects
    };
    entries.iter().map(apply).collect()
}

/// Reads what a field of the scenario names as manifests.
pub(super) fn read_manifest(
    manifest: &ManifestSource,
    folder: &Path,
    source: &mut ObjectSource<'_>,
    objects: &mut Vec<Object>,
    checker: &mut Checker<'_>,
) {
    let file = checker.file.clone();
    match manifest {
        ManifestSource::Path(path) => {
            let mention = Mention { file: &file, position: path.position, path: &path.path };
            source.path(&folder.join(&*path.value.0), mention, objects, checker.findings);
        }
        ManifestSource::Inline(text) => {
            let name = format!("{file}: {}", text.path);
            source.text(&name, text.value.0.as_bytes(), objects, checker.findings);
        }
        ManifestSource::Object(node) => source.object(node, &file, objects, checker.findings),
    }
}

/// All that an entry may speak about.
pub(super) struct Surroundings<'a> {
    pub(super) duration: Span,
    pub(super) objects: &'a KnownObjects,
    pub(super) machines: &'a mut Machines,
}

impl Surroundings<'_> {
    /// The entries of a timeline, in order, each with the objects that it applies.
    pub(super) fn timeline(
        &mut self,
        entries: &[Entry],
        applied: Vec<Vec<Object>>,
        checker: &mut Checker<'_>,
    ) -> Vec<TimelineEntry> {
        // Machines that join come first, so that other entries may name them.
        let joined: Vec<_> = entries.iter().map(|entry| self.joining(entry, checker)).collect();
        let mut timeline = Vec::new();
        for ((entry, objects), joined) in entries.iter().zip(applied).zip(joined) {
            let actions = joined.unwrap_or_else(|| self.actions(entry, objects, checker));
            let Some(times) = self.times(entry, checker) else { continue };
            let actions: Vec<Action> = actions.into_iter().flatten().collect();
            timeline.extend(times.entries(&actions));
        }
        timeline
    }

    /// The machines of an entry that lets some join, or `None` for another entry.
    fn joining(&mut self, entry: &Entry, checker: &mut Checker<'_>) -> Option<Vec<Option<Action>>> {
        let add = entry.add_nodes.as_ref()?;
        Some(vec![self.add_nodes(add, entry.every.is_some(), checker)])
    }

    fn add_nodes(
        &mut self,
        add: &Placed<AddNodes>,
        repeated: bool,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let (pool, _) = self.machines.pool(&add.value.pool, checker)?;
        if repeated {
            checker.error(add, |error| {
                error
                    .message("machines have names of their own and join once")
                    .hint("write an entry for each time")
            });
            return None;
        }
        if self.machines.len().saturating_add(add.value.count) > NODES_MAX {
            let found = add.value.count.to_string();
            checker.error(add, |error| error.expected(format!("at most {NODES_MAX} machines in all"), found));
            return None;
        }
        Some(Action::AddNodes(self.machines.join(pool, add.value.count)))
    }

    /// What an entry does, one action for each node that it names; `None` where there is an error.
    fn actions(&self, entry: &Entry, objects: Vec<Object>, checker: &mut Checker<'_>) -> Vec<Option<Action>> {
        if !objects.is_empty() {
            return vec![Some(Action::Apply(objects))];
        }
        for (nodes, action) in [
            (&entry.cordon, Action::Cordon as fn(Symbol) -> Action),
            (&entry.uncordon, Action::Uncordon),
            (&entry.drain, Action::Drain),
            (&entry.remove_node, Action::RemoveNode),
        ] {
            if let Some(nodes) = nodes {
                return nodes.0.iter().map(|node| self.machines.node(node, checker).map(action)).collect();
            }
        }
        let action = if let Some(scaled) = &entry.scale {
            self.scale(scaled, checker)
        } else if let Some(set) = &entry.set_image {
            self.set_image(set, checker)
        } else if let Some(workload) = &entry.rollout_restart {
            self.workload(workload, checker).map(Action::RolloutRestart)
        } else if let Some(workload) = &entry.rollout_undo {
            self.workload(workload, checker).map(Action::RolloutUndo)
        } else if let Some(restart) = &entry.restart {
            self.restart(restart, checker)
        } else if let Some(pool) = &entry.upgrade_pool {
            self.machines.pool(pool, checker).map(|(_, pool)| Action::UpgradePool(pool))
        } else if let Some(deleted) = &entry.delete {
            let object = deleted.value.object();
            object.and_then(|(kind, name)| self.object(deleted, kind, &name, checker)).map(Action::Delete)
        } else {
            None
        };
        vec![action]
    }

    fn restart(&self, restart: &Placed<Restart>, checker: &mut Checker<'_>) -> Option<Action> {
        let Restart { component, kubelet } = &restart.value;
        if let Some(component) = component {
            return Some(Action::RestartMaster(super::faults::component(*component)));
        }
        let node = kubelet.as_ref()?;
        let node = Placed { value: node.clone(), position: restart.position, path: restart.path.clone() };
        self.machines.node(&node, checker).map(Action::RestartKubelet)
    }

    fn scale(&self, scaled: &Placed<Scaled>, checker: &mut Checker<'_>) -> Option<Action> {
        let Scaled { deployment, stateful_set, replica_set, replication_controller, replicas } =
            &scaled.value;
        let named = [
            (Kind::Deployment, deployment),
            (Kind::StatefulSet, stateful_set),
            (Kind::ReplicaSet, replica_set),
            (Kind::ReplicationController, replication_controller),
        ];
        let object = self.one_of(scaled, named, checker)?;
        Some(Action::Scale(object, *replicas as i32))
    }

    fn set_image(&self, set: &Placed<SetImage>, checker: &mut Checker<'_>) -> Option<Action> {
        let SetImage { deployment, stateful_set, daemon_set, container, image } = &set.value;
        let object = self.workload_of(set, deployment, stateful_set, daemon_set, checker)?;
        let name = format!("{}/{}", object.namespace, object.name);
        let containers = self.objects.containers(object.kind, &name);
        let container = match container {
            None => Symbol::empty(),
            Some(Text(container)) => {
                if !containers.iter().any(|known| *known == container.as_str()) {
                    let what = format!("container in {} {name} named", object.kind);
                    checker.missing(
                        set,
                        (Referent::Objects, &what),
                        container,
                        containers.iter().map(|known| known.as_str()),
                    );
                    return None;
                }
                Symbol::new(container)
            }
        };
        Some(Action::SetImage(object, container, Symbol::new(&image.0)))
    }

    fn workload(&self, workload: &Placed<Workload>, checker: &mut Checker<'_>) -> Option<NamedObject> {
        let Workload { deployment, stateful_set, daemon_set } = &workload.value;
        self.workload_of(workload, deployment, stateful_set, daemon_set, checker)
    }

    fn workload_of<T>(
        &self,
        place: &Placed<T>,
        deployment: &Option<ObjectName>,
        stateful_set: &Option<ObjectName>,
        daemon_set: &Option<ObjectName>,
        checker: &mut Checker<'_>,
    ) -> Option<NamedObject> {
        let named = [
            (Kind::Deployment, deployment),
            (Kind::StatefulSet, stateful_set),
            (Kind::DaemonSet, daemon_set),
        ];
        self.one_of(place, named, checker)
    }

    /// The first object that is named.
    fn one_of<T, const N: usize>(
        &self,
        place: &Placed<T>,
        named: [(Kind, &Option<ObjectName>); N],
        checker: &mut Checker<'_>,
    ) -> Option<NamedObject> {
        let (kind, name) = named.into_iter().find_map(|(kind, name)| Some((kind, name.as_ref()?)))?;
        self.object(place, kind, name, checker)
    }

    /// The object of this kind and name, if a manifest or the state defines it.
    fn object<T>(
        &self,
        place: &Placed<T>,
        kind: Kind,
        name: &ObjectName,
        checker: &mut Checker<'_>,
    ) -> Option<NamedObject> {
        let full_name = if kind.is_namespaced() { name.to_string() } else { name.name.to_string() };
        let is_ordinal = kind == Kind::Pod && self.is_pod_of_stateful_set(name);
        if !is_ordinal && !self.objects.has(kind, &full_name) {
            checker.missing(place, (Referent::Objects, kind.as_str()), &full_name, self.objects.names(kind));
            return None;
        }
        Some(NamedObject { kind, namespace: name.namespace, name: name.name.clone() })
    }

    /// Whether a pod is called as a StatefulSet calls its pods.
    fn is_pod_of_stateful_set(&self, pod: &ObjectName) -> bool {
        let Some((set, ordinal)) = pod.name.rsplit_once('-') else { return false };
        ordinal.parse::<u32>().is_ok()
            && self.objects.has(Kind::StatefulSet, &format!("{}/{set}", pod.namespace))
    }

    fn times(&self, entry: &Entry, checker: &mut Checker<'_>) -> Option<Times> {
        if let Some(every) = entry.every.as_ref().filter(|every| every.value == Span::ZERO) {
            checker.error(every, |error| error.expected("a length of time above zero", "0s"));
            return None;
        }
        let every = entry.every.as_ref().map(|every| every.value);
        let first = entry.at.as_ref().or(entry.every.as_ref())?;
        within_run(first, self.duration, checker)?;
        if let Some(times) = entry.times.as_ref().filter(|times| times.value > REPETITIONS_MAX) {
            let found = times.value.to_string();
            checker.error(times, |error| error.expected(format!("at most {REPETITIONS_MAX} times"), found));
            return None;
        }
        let times = entry.times.as_ref().map(|times| times.value);
        if let (Some(every), None) = (&entry.every, times) {
            let count = (self.duration - first.value).nanos() / every.value.nanos();
            if count > i64::from(REPETITIONS_MAX) {
                let found = format!("{count} times until the end of the run");
                checker
                    .error(every, |error| error.expected(format!("at most {REPETITIONS_MAX} times"), found));
                return None;
            }
        }
        Some(Times { first: SimTime::ZERO + first.value, every, times })
    }
}

/// Checks that something happens before the run is over.
pub(super) fn within_run(at: &Placed<Span>, duration: Span, checker: &mut Checker<'_>) -> Option<()> {
    if at.value <= duration {
        return Some(());
    }
    let found = seatrial_api::duration::to_text(at.value);
    let end = seatrial_api::duration::to_text(duration);
    checker.error(at, |error| error.expected(format!("a time within the run, which is {end} long"), found));
    None
}

impl Times {
    /// The entries of actions that happen at these times.
    fn entries(&self, actions: &[Action]) -> Vec<TimelineEntry> {
        let once = |at: SimTime, every: Option<Span>| {
            actions.iter().map(move |action| TimelineEntry { at, every, action: action.clone() })
        };
        match (self.every, self.times) {
            (Some(every), Some(times)) => {
                (0..i64::from(times)).flat_map(|nth| once(self.first + every.times(nth), None)).collect()
            }
            (every, _) => once(self.first, every).collect(),
        }
    }
}
