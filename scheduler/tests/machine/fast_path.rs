//! The fast path and a plain loop over nodes and plugins decide the same: two schedulers are played
//! the same random histories, and everything that they do is compared.

use std::sync::Arc;

use crate::rig::{Rig, node};
use seatrial_api::container::{Container, ContainerPort, Protocol};
use seatrial_api::gpu::{GPU_COUNT, GPU_MODEL, GpuRequest, accepted_models};
use seatrial_api::labels::{Labels, Operator, Requirement, Selector};
use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
use seatrial_api::node::{Node, NodeImage, NodeResources};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{Pod, PodSpec, PodTemplate, PreemptionPolicy};
use seatrial_api::policy::{PdbStatus, PodDisruptionBudget, UnhealthyPodEvictionPolicy};
use seatrial_api::request::Change;
use seatrial_api::resources::{Resources, Scalars};
use seatrial_api::scheduling::{
    Affinity, NamespaceScope, NodeInclusionPolicy, NodeSelectorTerm, PodAffinityTerm, PreferredNode, Taint,
    TaintEffect, Toleration, TolerationOperator, TopologySpreadConstraint, WeightedPodAffinityTerm,
    WhenUnsatisfiable,
};
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Span};
use seatrial_api::workload::{ReplicaSet, ReplicaSetStatus};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::config::{CostModel, DefaultConstraints, TieBreak};
use seatrial_scheduler::policies::POLICIES;

#[test]
fn both_paths_decide_the_same_on_small_clusters() {
    for seed in 0..histories(400) {
        play(seed, 3..14, 60);
    }
}

#[test]
fn both_paths_decide_the_same_where_only_some_nodes_are_scored() {
    for seed in 0..histories(40) {
        play(1_000_000 + seed, 101..190, 60);
    }
}

#[test]
fn both_paths_decide_the_same_by_every_policy() {
    for policy in POLICIES {
        for seed in 0..histories(20) {
            let mut configuration = policy.configuration();
            configuration.seed = seed;
            play_in(World::of(seed, 3..14, configuration), seed, 40);
        }
    }
}

/// More histories where everything is tested, fewer in a debug build.
fn histories(count: u64) -> u64 {
    if std::env::var_os("SEATRIAL_FULL").is_some() { count * 10 } else { count }
}

fn play(seed: u64, nodes: std::ops::Range<u64>, operations: usize) {
    play_in(World::new(seed, nodes), seed, operations);
}

fn play_in(mut world: World, seed: u64, operations: usize) {
    for step in 0..operations {
        let what = world.operate();
        assert_equal(&world, seed, step, &what);
    }
    world.settle(Span::from_secs(700));
    assert_equal(&world, seed, operations, "the end");
}

fn assert_equal(world: &World, seed: u64, step: usize, what: &str) {
    let [fast, plain] = &world.rigs;
    let context = || format!("history {seed}, step {step}: {what}");
    for (index, (a, b)) in fast.decisions.iter().zip(&plain.decisions).enumerate() {
        assert_eq!(a, b, "decision {index}, {}", context());
    }
    assert_eq!(fast.decisions.len(), plain.decisions.len(), "{}", context());
    assert_eq!(fast.deleted, plain.deleted, "{}", context());
    for (a, b) in fast.pods().values().zip(plain.pods().values()) {
        assert_eq!(a, b, "{}", context());
    }
    assert_eq!(fast.due(), plain.due(), "{}", context());
}

/// Two schedulers, one with the fast path and one without, and the cluster that both are told of.
struct World {
    rigs: [Rig; 2],
    stream: Stream,
    templates: Vec<(Arc<PodSpec>, Labels, &'static str, Option<OwnerRef>)>,
    created: u64,
    objects: u32,
}

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const NAMESPACES: [&str; 2] = ["default", "team"];

impl World {
    fn new(seed: u64, nodes: std::ops::Range<u64>) -> World {
        let mut stream = Stream::new(seed, 0, 7);
        let mut configuration = SchedulerConfiguration {
            seed,
            ties: if stream.below(4) == 0 { TieBreak::First } else { TieBreak::Seeded },
            percentage_of_nodes_to_score: [None, Some(100), Some(30)][stream.below(3) as usize],
            ..SchedulerConfiguration::default()
        };
        if stream.below(3) == 0 {
            configuration.cost = CostModel::INSTANT;
        }
        let arguments = &mut configuration.profiles[0].arguments;
        match stream.below(6) {
            0 => arguments.hard_pod_affinity_weight = 20,
            1 => arguments.ignore_preferred_terms_of_existing_pods = true,
            2 => {
                let constraint = |key: &str, action| TopologySpreadConstraint {
                    when_unsatisfiable: action,
                    topology_key: key.into(),
                    ..spread(1)
                };
                arguments.default_constraints = DefaultConstraints::List(vec![
                    constraint(ZONE, WhenUnsatisfiable::DoNotSchedule),
                    constraint(HOST, WhenUnsatisfiable::ScheduleAnyway),
                ]);
            }
            _ => {}
        }
        World::with(stream, nodes, configuration)
    }

    /// A world that is scheduled by this configuration.
    fn of(seed: u64, nodes: std::ops::Range<u64>, configuration: SchedulerConfiguration) -> World {
        World::with(Stream::new(seed, 1, 7), nodes, configuration)
    }

    fn with(mut stream: Stream, nodes: std::ops::Range<u64>, configuration: SchedulerConfiguration) -> World {
        let explain = stream.below(2) == 0;
        let mut rig = Rig::new(configuration);
        rig.explain = explain;
        let mut plain = rig.clone();
        plain.scheduler = plain.scheduler.without_fast_path();
        let mut world = World { rigs: [rig, plain], stream, templates: Vec::new(), created: 0, objects: 0 };
        for name in NAMESPACES {
            world.set_namespace(name);
        }
        for _ in nodes.start..nodes.start + world.stream.below(nodes.end - nodes.start) {
            world.add_node();
        }
        for _ in 0..2 + world.stream.below(6) {
            let template = world.template();
            world.templates.push(template);
        }
        world
    }

    fn both(&mut self, act: impl Fn(&mut Rig)) {
        self.rigs.iter_mut().for_each(act);
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.stream.below(one_in) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.stream.below(of.len() as u64) as usize].clone()
    }

    fn settle(&mut self, span: Span) {
        self.both(|rig| rig.settle(rig.now + span));
    }

    fn operate(&mut self) -> String {
        match self.stream.below(16) {
            0..=5 => self.add_pods(),
            6 => self.finish_pod(),
            7 => self.terminate_pod(),
            8 => self.change_node(),
            9 if self.chance(2) => self.add_node(),
            9 => self.remove_node(),
            10 => self.add_owner_or_budget(),
            11 => self.relabel_pod(),
            12 if self.chance(3) => {
                let name = self.pick(&NAMESPACES);
                self.set_namespace(name);
                "namespace".into()
            }
            13 => {
                let template = self.template();
                self.templates.push(template);
                "template".into()
            }
            14 => {
                let count = self.stream.below(3) as usize;
                self.both(|rig| rig.refuse_binds = count);
                format!("refuse {count} bindings")
            }
            _ => {
                let span = Span::from_millis(self.stream.below(4_000) as i64);
                self.settle(span);
                format!("settle {span}")
            }
        }
    }

    fn set_namespace(&mut self, name: &str) {
        let team = self.pick(&["a", "b"]);
        let mut meta = ObjectMeta::named("", name);
        meta.labels = Labels::of(&[("team", team)]);
        let namespace = seatrial_api::config::Namespace { meta, ..Default::default() };
        let object = Object::Namespace(Arc::new(namespace));
        self.both(|rig| rig.watch(Change::Modified, object.clone()));
    }

    fn add_node(&mut self) -> String {
        self.created += 1;
        let name = format!("node-{:03}", self.created);
        let cpu = self.pick(&[1000, 2000, 4000]);
        let mut node = node(&name, cpu, 4);
        let pods = self.pick(&[3, 6, 110]);
        let mut amounts = node.allocatable.amounts.clone();
        node.meta.labels = self.node_labels(&name);
        if self.chance(4) {
            amounts.scalars = Scalars::new([("nvidia.com/gpu".into(), 2)].into_iter().collect());
        } else if self.chance(2) {
            let count = self.pick(&[1, 2, 4]);
            amounts.scalars = Scalars::new([(GPU_COUNT.into(), count)].into_iter().collect());
            let model = self.pick(&["T4", "A10"]);
            node.meta.labels = node.meta.labels.with(GPU_MODEL.into(), model.into());
        }
        node.allocatable = Arc::new(NodeResources { amounts, pods });
        node.taints = self.taints();
        if self.chance(3) {
            let image = NodeImage { names: [Symbol::new("app:1")].into(), size: Bytes(300 << 20) };
            node.images = Some([image].into());
        }
        self.both(|rig| rig.add_node(node.clone()));
        format!("add {name}")
    }

    fn node_labels(&mut self, name: &str) -> Labels {
        let mut labels = vec![("disk", self.pick(&["ssd", "hdd"]))];
        if !self.chance(8) {
            labels.push((HOST, name));
        }
        if !self.chance(8) {
            labels.push((ZONE, self.pick(&["a", "b", "c"])));
        }
        if !self.chance(3) {
            labels.push(("rack", self.pick(&["r1", "r2", "r3", "r4"])));
        }
        Labels::of(&labels)
    }

    fn taints(&mut self) -> Option<Arc<[Taint]>> {
        if !self.chance(3) {
            return None;
        }
        let effect =
            self.pick(&[TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute]);
        let key = self.pick(&["dedicated", "spot"]);
        Some([Taint { key: key.into(), value: Symbol::empty(), effect }].into())
    }

    fn some_node(&mut self) -> Option<Symbol> {
        let names: Vec<Symbol> = self.rigs[0].nodes().keys().copied().collect();
        (!names.is_empty()).then(|| self.pick(&names))
    }

    fn change_node(&mut self) -> String {
        let Some(name) = self.some_node() else { return "no node".into() };
        let mut node = Node::clone(&self.rigs[0].nodes()[&name]);
        match self.stream.below(4) {
            0 => node.taints = self.taints(),
            1 => node.unschedulable = !node.unschedulable,
            2 => node.meta.labels = self.node_labels(name.as_str()),
            _ => {
                let amounts = Resources::of(MilliCpu(self.pick(&[1000, 3000])), Bytes(4 << 30));
                node.allocatable = Arc::new(NodeResources { amounts, pods: 6 });
            }
        }
        self.both(|rig| rig.update_node(name.as_str(), |old| *old = node.clone()));
        format!("change {name}")
    }

    fn remove_node(&mut self) -> String {
        let Some(name) = self.some_node() else { return "no node".into() };
        self.both(|rig| rig.remove_node(name));
        format!("remove {name}")
    }

    fn some_pod(&mut self) -> Option<u32> {
        let ids: Vec<u32> = self.rigs[0].pods().keys().copied().collect();
        (!ids.is_empty()).then(|| self.pick(&ids))
    }

    fn finish_pod(&mut self) -> String {
        let Some(id) = self.some_pod() else { return "no pod".into() };
        self.both(|rig| rig.finish_deletion(ObjectRef { kind: Kind::Pod, id }));
        format!("finish pod {id}")
    }

    fn terminate_pod(&mut self) -> String {
        let Some(id) = self.some_pod() else { return "no pod".into() };
        if !self.rigs[0].pods()[&id].meta.is_deleting() {
            self.both(|rig| rig.terminate(id));
        }
        format!("terminate pod {id}")
    }

    fn relabel_pod(&mut self) -> String {
        let Some(id) = self.some_pod() else { return "no pod".into() };
        let app = self.pick(&["x", "y"]);
        self.both(|rig| {
            rig.change_pod(id, |pod| pod.meta.labels = Labels::of(&[("app", app)]));
        });
        format!("relabel pod {id}")
    }

    fn add_owner_or_budget(&mut self) -> String {
        self.objects += 1;
        let (namespace, app) = (self.pick(&NAMESPACES), self.pick(&["x", "y"]));
        let selector = selector(app);
        let mut meta = ObjectMeta::named(namespace, &format!("object-{}", self.objects));
        meta.id = self.objects;
        let object = if self.chance(2) {
            meta.name = self.pick(&["owner-1", "owner-2"]).into();
            let spec = Arc::new(PodSpec::new(Vec::new()));
            Object::ReplicaSet(Arc::new(ReplicaSet {
                meta,
                replicas: 1,
                min_ready_seconds: 0,
                selector: Arc::new(selector),
                template: Arc::new(PodTemplate { labels: Labels::NONE, annotations: Labels::NONE, spec }),
                status: ReplicaSetStatus::default(),
            }))
        } else {
            let allowed = self.stream.below(2) as i32;
            Object::PodDisruptionBudget(Arc::new(PodDisruptionBudget {
                meta,
                budget: None,
                selector: Some(selector),
                unhealthy_pod_eviction_policy: UnhealthyPodEvictionPolicy::default(),
                status: PdbStatus { disruptions_allowed: allowed, ..PdbStatus::default() },
            }))
        };
        self.both(|rig| rig.watch(Change::Added, object.clone()));
        format!("{} in {namespace} for {app}", object.kind())
    }

    fn add_pods(&mut self) -> String {
        let index = self.stream.below(self.templates.len() as u64) as usize;
        let (spec, labels, namespace, owner) = self.templates[index].clone();
        let owners = owner.map(|owner| Arc::new(vec![owner]));
        let count = 1 + self.stream.below(6);
        for _ in 0..count {
            self.created += 1;
            let mut pod =
                Pod::new(ObjectMeta::named(namespace, &format!("pod-{}", self.created)), spec.clone());
            pod.meta.labels = labels.clone();
            pod.meta.owners = owners.clone();
            if self.chance(12) {
                pod.target_node = self.some_node();
            }
            self.both(|rig| rig.add_pod(pod.clone()));
        }
        format!("{count} pods of template {index}: {spec:?} {labels:?}")
    }

    fn template(&mut self) -> (Arc<PodSpec>, Labels, &'static str, Option<OwnerRef>) {
        let mut container = Container::new("c", "app:1");
        container.requests.cpu =
            self.pick(&[None, Some(MilliCpu(100)), Some(MilliCpu(400)), Some(MilliCpu(900))]);
        container.requests.memory = self.pick(&[None, Some(Bytes(256 << 20)), Some(Bytes(1 << 30))]);
        if self.chance(8) {
            container.requests.scalars = Scalars::new([("nvidia.com/gpu".into(), 1)].into_iter().collect());
        }
        if self.chance(10) {
            container.ports = [ContainerPort {
                name: Symbol::empty(),
                container_port: 80,
                host_port: 8080,
                host_ip: Symbol::empty(),
                protocol: Protocol::Tcp,
            }]
            .into();
        }
        let mut spec = PodSpec::new(vec![container]);
        spec.priority = self.pick(&[None, Some(0), Some(10), Some(100)]);
        if self.chance(8) {
            spec.preemption_policy = PreemptionPolicy::Never;
        }
        if self.chance(4) {
            spec.tolerations = [Toleration {
                key: self.pick(&["dedicated", "spot"]).into(),
                operator: TolerationOperator::Exists,
                value: Symbol::empty(),
                effect: None,
                seconds: None,
            }]
            .into();
        }
        if self.chance(6) {
            spec.node_selector = Labels::of(&[("disk", self.pick(&["ssd", "hdd"]))]);
        }
        if self.chance(3) {
            let (count, milli) = self.pick(&[(1, 200), (1, 500), (1, 1000), (2, 1000)]);
            let models = accepted_models(self.pick(&["", "", "T4", "A10|T4"]));
            spec.gpu = GpuRequest { models, ..GpuRequest::new(count, milli) }.into();
        }
        self.constrain(&mut spec);
        let owner = self.chance(3).then(|| OwnerRef {
            kind: "ReplicaSet".into(),
            api_version: "apps/v1".into(),
            name: self.pick(&["owner-1", "owner-2"]).into(),
            uid: Uid::from_bits(1, 1),
            controller: true,
            block_owner_deletion: true,
        });
        let app = self.pick(&["x", "y", "z"]);
        (Arc::new(spec.sealed()), Labels::of(&[("app", app)]), self.pick(&NAMESPACES), owner)
    }

    fn constrain(&mut self, spec: &mut PodSpec) {
        if self.chance(3) {
            let count = 1 + self.stream.below(2);
            let keys = [ZONE, HOST, "rack"];
            let first = self.stream.below(3) as usize;
            spec.topology_spread =
                (0..count as usize).map(|index| self.constraint(keys[(first + index) % 3])).collect();
        }
        let mut affinity = Affinity::default();
        if self.chance(5) {
            let term = |value: &str| NodeSelectorTerm {
                expressions: [Requirement {
                    key: "disk".into(),
                    operator: Operator::In([Symbol::new(value)].into()),
                }]
                .into(),
                fields: Box::default(),
            };
            affinity.node.preferred = [
                PreferredNode { weight: 10, term: term("ssd") },
                PreferredNode { weight: 3, term: term("hdd") },
            ]
            .into();
        }
        if self.chance(6) {
            affinity.pod.required = (0..1 + self.stream.below(2)).map(|_| self.term()).collect();
        }
        if self.chance(5) {
            affinity.anti.required = (0..1 + self.stream.below(2)).map(|_| self.term()).collect();
        }
        if self.chance(5) {
            affinity.pod.preferred = [self.weighted()].into();
        }
        if self.chance(6) {
            affinity.anti.preferred = [self.weighted(), self.weighted()].into();
        }
        if affinity != Affinity::default() {
            spec.affinity = Some(Arc::new(affinity));
        }
    }

    fn constraint(&mut self, key: &str) -> TopologySpreadConstraint {
        use NodeInclusionPolicy::{Honor, Ignore};
        TopologySpreadConstraint {
            topology_key: key.into(),
            when_unsatisfiable: self
                .pick(&[WhenUnsatisfiable::DoNotSchedule, WhenUnsatisfiable::ScheduleAnyway]),
            selector: self.pick(&[None, Some(Selector::default()), Some(selector("x")), Some(selector("y"))]),
            min_domains: self.pick(&[1, 1, 3]),
            node_affinity_policy: self.pick(&[Honor, Ignore]),
            node_taints_policy: self.pick(&[Ignore, Honor]),
            ..spread(self.stream.below(3) as i32 + 1)
        }
    }

    fn term(&mut self) -> PodAffinityTerm {
        let team = Selector::of_labels(&Labels::of(&[("team", self.pick(&["a", "b"]))]));
        PodAffinityTerm {
            selector: self.pick(&[Some(selector("x")), Some(selector("y")), Some(Selector::default()), None]),
            namespaces: NamespaceScope {
                names: self.pick(&[Box::default(), Box::default(), ["team".into()].into()]),
                selector: self.pick(&[None, None, None, Some(team), Some(Selector::default())]),
            },
            topology_key: self.pick(&[ZONE, HOST, "rack"]).into(),
            match_label_keys: Box::default(),
            mismatch_label_keys: Box::default(),
        }
    }

    fn weighted(&mut self) -> WeightedPodAffinityTerm {
        WeightedPodAffinityTerm { weight: self.pick(&[1, 7, 100]), term: self.term() }
    }
}

fn selector(app: &str) -> Selector {
    Selector::of_labels(&Labels::of(&[("app", app)]))
}

fn spread(max_skew: i32) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew,
        topology_key: ZONE.into(),
        when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
        selector: None,
        min_domains: 1,
        node_affinity_policy: NodeInclusionPolicy::Honor,
        node_taints_policy: NodeInclusionPolicy::Ignore,
        match_label_keys: Box::default(),
    }
}
