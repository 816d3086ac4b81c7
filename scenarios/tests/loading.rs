//! What is made of scenarios, manifests and state dumps that are in order.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::Folder;
use seatrial_api::calendar::Timestamp;
use seatrial_api::node::{LABEL_HOSTNAME, LABEL_INSTANCE_TYPE, LABEL_REGION, LABEL_ZONE};
use seatrial_api::object::Kind;
use seatrial_api::scheduling::TaintEffect;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_scenarios::{Loaded, Request, load};
use seatrial_scheduler::Scheduler;
use seatrial_scheduler::config::{ClientRate, CostModel, TieBreak};
use seatrial_scheduler::extender::{ExtenderCalls, ExtenderClient};
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::config::{Action, FaultTiming, FaultType, LatencyModel, NodeSpec, Target};
use seatrial_sim_core::engine::dist::Distribution;

type Memory = BTreeMap<PathBuf, Vec<u8>>;

fn memory(files: &[(&str, &str)]) -> Memory {
    files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
}

/// Loads a scenario whose head is left out here.
#[track_caller]
fn scenario(body: &str) -> Loaded {
    let text = format!("apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {{name: it}}\n{body}");
    let request = Request { scenario: Some("s.yaml".into()), ..Request::default() };
    loaded(&memory(&[("s.yaml", &text)]), &request)
}

#[track_caller]
fn loaded(files: &Memory, request: &Request) -> Loaded {
    match load(files, request) {
        Ok(loaded) => loaded,
        Err(findings) => panic!("{findings}"),
    }
}

fn label(node: &NodeSpec, key: &str) -> String {
    node.labels.get(Symbol::new(key)).map_or(String::new(), |value| value.to_string())
}

fn minute(minutes: i64) -> SimTime {
    SimTime::ZERO + Span::from_mins(minutes)
}

#[test]
fn an_empty_scenario_has_every_default() {
    let loaded = scenario("");
    let config = &loaded.config;
    assert_eq!((config.name.as_str(), config.seed, config.duration), ("it", 42, Span::from_hours(1)));
    assert_eq!(config.start_unix_seconds, Timestamp::parse("2030-01-01T00:00:00Z").unwrap().seconds);
    assert_eq!(config.version, KubernetesVersion::V1_36);
    assert_eq!(config.latency, LatencyModel::cloud_vm());
    assert_eq!(config.scheduler.cost, CostModel::default());
    assert_eq!(config.nodes.len(), 3);
    assert!(config.client_rate_limits && loaded.expectations.is_empty() && loaded.warnings.is_empty());
}

#[test]
fn pools_are_spelled_out_machine_by_machine() {
    let loaded = scenario(
        "nodes:
  - name: worker
    count: 5
    capacity: {cpu: 4, memory: 16Gi, nvidia.com/gpu: 2}
    zones: [a, b]
    racks: 2
    region: north
    labels: {tier: web}
    taints: [{key: dedicated, value: web, effect: NoSchedule}]
    pricePerHour: 0.192
    images: ['a:1']
  - {name: small, count: 1, machineType: t3.medium}
  - {name: bare, count: 1, capacity: {cpu: 2, memory: 4Gi, pods: 20}, systemReserved: {cpu: 100m, memory: 200Mi}}
",
    );
    let nodes = &loaded.config.nodes;
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["worker-0", "worker-1", "worker-2", "worker-3", "worker-4", "small-0", "bare-0"]);
    let zones: Vec<String> = nodes[..5].iter().map(|node| label(node, LABEL_ZONE)).collect();
    assert_eq!(zones, ["a", "b", "a", "b", "a"]);
    let racks: Vec<&str> = nodes[..5].iter().map(|node| node.rack.as_str()).collect();
    assert_eq!(racks, ["a-1", "b-1", "a-2", "b-2", "a-1"]);
    let worker = &nodes[0];
    assert_eq!(label(worker, LABEL_HOSTNAME), "worker-0");
    assert_eq!((label(worker, LABEL_REGION), label(worker, "tier")), ("north".into(), "web".into()));
    assert_eq!((worker.pool.as_str(), worker.micro_usd_per_hour), ("worker", 192_000));
    assert_eq!(worker.taints[0].effect, TaintEffect::NoSchedule);
    assert_eq!(worker.capacity.amounts.memory, Bytes(16 << 30));
    assert_eq!((worker.capacity.pods, worker.allocatable.amounts.cpu), (110, MilliCpu(3_920)));
    assert_eq!(worker.allocatable.amounts.scalars.get(Symbol::new("nvidia.com/gpu")), 2);
    let small = &nodes[5];
    assert_eq!(label(small, LABEL_INSTANCE_TYPE), "t3.medium");
    assert_eq!((small.micro_usd_per_hour, small.allocatable.amounts.cpu), (41_600, MilliCpu(1_930)));
    let bare = &nodes[6].allocatable;
    assert_eq!((bare.amounts.cpu, bare.amounts.memory), (MilliCpu(1_900), Bytes((4096 - 200) << 20)));
}

const APP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: 'web:1', resources: {requests: {cpu: 500m, memory: 256Mi}}}]
";

#[test]
fn the_timeline_does_what_people_do() {
    let body = format!(
        "nodes: [{{name: worker, count: 2, machineType: t3.large}}]
manifests:
  - |
{}
timeline:
  - {{at: 1m, scale: {{deployment: shop/web, replicas: 5}}}}
  - {{at: 2m, setImage: {{deployment: shop/web, container: web, image: 'web:2'}}}}
  - {{at: 3m, rolloutUndo: {{deployment: shop/web}}}}
  - {{every: 10m, times: 3, rolloutRestart: {{deployment: shop/web}}}}
  - {{at: 4m, every: 20m, cordon: worker-0}}
  - {{at: 5m, drain: [worker-0, worker-2]}}
  - {{at: 6m, addNodes: {{pool: worker, count: 1}}}}
  - {{at: 7m, upgradePool: worker}}
  - {{at: 8m, apply: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: shop}}}}}}
  - {{at: 9m, delete: {{configMap: shop/c}}}}
  - {{at: 9m, delete: {{namespace: shop}}}}
",
        APP.lines().map(|line| format!("    {line}\n")).collect::<String>()
    );
    let loaded = scenario(&body);
    let timeline = &loaded.config.timeline;
    let times: Vec<SimTime> = timeline.iter().map(|entry| entry.at).collect();
    let minutes = [1, 2, 3, 10, 20, 30, 4, 5, 5, 6, 7, 8, 9, 9].map(minute);
    assert_eq!(times, minutes);
    assert!(matches!(&timeline[0].action, Action::Scale(object, 5) if object.kind == Kind::Deployment));
    assert!(matches!(&timeline[1].action, Action::SetImage(_, container, image)
        if *container == "web" && *image == "web:2"));
    assert!(timeline[3].every.is_none() && timeline[6].every == Some(Span::from_mins(20)));
    assert!(matches!(timeline[8].action, Action::Drain(node) if node == "worker-2"));
    let Action::AddNodes(joined) = &timeline[9].action else { panic!("no machine joins") };
    assert_eq!(joined[0].name.as_str(), "worker-2");
    assert!(matches!(&timeline[11].action, Action::Apply(objects) if objects.len() == 1));
    assert!(matches!(&timeline[13].action, Action::Delete(object) if object.kind == Kind::Namespace));
    // The namespace is nowhere defined: it is created before what lives in it.
    let kinds: Vec<Kind> = loaded.config.manifests.iter().map(|object| object.kind()).collect();
    assert_eq!(kinds, [Kind::Namespace, Kind::Deployment]);
    assert_eq!(
        loaded.warnings.to_string(),
        "s.yaml: warning: the namespace shop is defined nowhere and is created\n"
    );
}

#[test]
fn faults_strike_once_or_at_random() {
    let loaded = scenario(
        "nodes: [{name: worker, count: 2, machineType: t3.large, zones: [a, b], racks: 1}]
faults:
  - {name: loss, at: 10m, type: crash, target: {zone: a}, duration: 5m}
  - {name: for-good, at: 20m, type: partition, target: {rack: b-1}}
  - {name: wear, type: crash, target: {nodes: worker}, mtbf: 30d, mttr: {distribution: lognormal, median: 5m, p99: 1h}}
  - {name: slow, at: 1m, type: slowRegistry, factor: 2.5}
",
    );
    let faults = &loaded.config.faults;
    assert_eq!(faults[0].target, Some(Target::Zone(Symbol::new("a"))));
    assert_eq!(faults[0].timing, FaultTiming::At { at: minute(10), duration: Some(Span::from_mins(5)) });
    assert_eq!(faults[1].timing, FaultTiming::At { at: minute(20), duration: None });
    let FaultTiming::Random { mtbf, mttr } = &faults[2].timing else { panic!("not at random") };
    assert_eq!(*mtbf, Distribution::Exponential { mean: Span::from_hours(720) });
    assert_eq!(*mttr, Distribution::Lognormal { median: Span::from_mins(5), p99: Span::from_hours(1) });
    let FaultType::SlowRegistry(factor) = faults[3].kind else { panic!("not a registry") };
    assert_eq!(factor.as_f64(), 2.5);
}

#[test]
fn loads_follow_their_shapes() {
    let course = |load: &str| {
        let body = format!(
            "for: 4m\npodProfiles: [{{selector: {{}}, load: {load}}}]\nmanifests:\n  - |\n{}",
            APP.lines().map(|line| format!("    {line}\n")).collect::<String>()
        );
        let loaded = scenario(&body);
        let points = loaded.config.profiles[0].load.iter();
        points.map(|(at, cpu)| (at.nanos() / 1_000_000_000, cpu.get())).collect::<Vec<_>>()
    };
    assert_eq!(course("[{at: 1m, cpu: 1}, {at: 2m, cpu: 500m}]"), [(60, 1_000), (120, 500)]);
    assert_eq!(
        course("{step: {from: 1, to: 4, at: 1m, until: 2m}}"),
        [(0, 1_000), (60, 4_000), (120, 1_000)]
    );
    assert_eq!(course("{step: {from: 1, to: 4, at: 0s}}"), [(0, 4_000)]);
    assert_eq!(
        course("{ramp: {from: 1, to: 2, start: 1m, end: 2m, every: 25s}}"),
        [(0, 1_000), (60, 1_000), (85, 1_416), (110, 1_833), (120, 2_000)]
    );
    assert_eq!(
        course("{sine: {mean: 1, amplitude: 500m, period: 4m}}"),
        [(0, 1_000), (60, 1_500), (120, 1_000), (180, 500), (240, 1_000)]
    );
}

#[test]
fn latencies_are_those_of_a_profile_with_exceptions() {
    let loaded = scenario(
        "latency: {profile: zero, sandbox: 1s, imageSize: 5M, schedulingCycle: {fixed: 1ms}}
controlPlane: {clientRateLimits: off}
",
    );
    let latency = &loaded.config.latency;
    assert_eq!(latency.sandbox, Distribution::Constant { value: Span::from_secs(1) });
    assert_eq!(latency.image_size, Distribution::Constant { value: Bytes(5_000_000) });
    assert_eq!(latency.api_write, LatencyModel::zero().api_write);
    assert_eq!(loaded.config.scheduler.cost.cycle, Span::from_millis(1));
    assert_eq!(loaded.config.scheduler.client, ClientRate::Unlimited);
    assert!(!loaded.config.client_rate_limits);
}

#[test]
fn what_is_asked_for_goes_before_what_the_scenario_says() {
    let text = "apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {name: it}\nseed: 7\npolicy: default\n";
    let request = Request {
        scenario: Some("s.yaml".into()),
        manifests: vec!["app.yaml".into()],
        nodes: Some(5),
        duration: Some(Span::from_mins(5)),
        seed: Some(9),
        version: Some(KubernetesVersion::V1_34),
        policy: Some("most-allocated".into()),
        start: Timestamp::parse("2026-03-01T00:00:00Z").ok(),
        ..Request::default()
    };
    let loaded = loaded(&memory(&[("s.yaml", text), ("app.yaml", APP)]), &request);
    let config = &loaded.config;
    assert_eq!((config.seed, config.scheduler.seed, config.duration), (9, 9, Span::from_mins(5)));
    assert_eq!(
        (config.version, config.scheduler.version),
        (KubernetesVersion::V1_34, KubernetesVersion::V1_34)
    );
    assert_eq!(config.nodes.len(), 5);
    assert!(config.scheduler.profiles[0].plugins.score.disabled.contains(&"*".into()));
    assert_eq!(config.start_unix_seconds, Timestamp::parse("2026-03-01T00:00:00Z").unwrap().seconds);
    assert_eq!(loaded.inputs, [PathBuf::from("s.yaml"), PathBuf::from("app.yaml")]);
}

#[test]
fn manifests_alone_get_machines_on_which_they_fit() {
    let picky = APP.replace("containers:", "nodeSelector: {disk: ssd}\n      containers:");
    let large = APP.replace("500m", "6").replace("name: web, namespace", "name: large, namespace");
    let other = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n";
    let files =
        memory(&[("in/b.yaml", &picky), ("in/a.yml", &large), ("in/c.json", "{}"), ("in/x.txt", "x")]);
    let mut files = files;
    files.insert(
        "in/c.json".into(),
        br#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}"#.to_vec(),
    );
    files.insert("other.yaml".into(), other.as_bytes().to_vec());
    let request =
        Request { manifests: vec!["in".into(), "other.yaml".into()], nodes: Some(6), ..Request::default() };
    let loaded = loaded(&files, &request);
    let config = &loaded.config;
    assert_eq!(config.name, "in");
    assert_eq!(config.nodes.len(), 6);
    let node = &config.nodes[1];
    assert_eq!((node.name.as_str(), label(node, LABEL_ZONE)), ("node-1", "b".to_owned()));
    // Six cores do not fit on the smallest machine.
    assert_eq!((node.capacity.amounts.cpu, node.micro_usd_per_hour), (MilliCpu(8_000), 384_000));
    assert_eq!(label(node, "disk"), "ssd");
    assert_eq!(config.manifests.len(), 4);
    assert_eq!(loaded.not_played, [(Symbol::new("Widget"), 1)]);
    assert_eq!(
        loaded.warnings.to_string(),
        "command line: warning: the machines get the label disk=ssd, for which node selectors ask (describe machines in a scenario to have several kinds)\n"
    );
}

#[test]
fn nodes_in_manifests_are_machines() {
    let node = "apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: z}}
status: {allocatable: {cpu: 8, memory: 32Gi, pods: 110}}
";
    let request = Request { manifests: vec!["n.yaml".into(), "app.yaml".into()], ..Request::default() };
    let loaded = loaded(&memory(&[("n.yaml", node), ("app.yaml", APP)]), &request);
    let config = &loaded.config;
    assert_eq!(config.nodes.len(), 1);
    assert_eq!((config.nodes[0].name.as_str(), config.nodes[0].allocatable.pods), ("n1", 110));
    assert!(config.manifests.iter().all(|object| object.kind() != Kind::Node));
}

#[test]
fn a_state_brings_its_nodes_and_its_clock_and_mixes_with_the_rest() {
    let folder = Folder::of_crate();
    let request = Request { state: Some("states/ledger.yaml".into()), ..Request::default() };
    let loaded = load(&folder, &request).expect("a good state");
    let config = &loaded.config;
    assert_eq!(config.name, "ledger");
    // The newest time in it is a heartbeat.
    assert_eq!(config.start_unix_seconds, Timestamp::parse("2026-03-02T09:29:31Z").unwrap().seconds);
    assert_eq!(config.nodes.len(), 0, "the machines come with the state");
    let count = |kind| config.state.iter().filter(|object| object.kind() == kind).count();
    assert_eq!((count(Kind::Node), count(Kind::Pod)), (2, 5));
    assert!(config.absent_owners.is_empty() && loaded.warnings.is_empty(), "{}", loaded.warnings);
    let bound = config.state.iter().filter_map(|object| match object {
        seatrial_api::object::Object::Pod(pod) => pod.node,
        _ => None,
    });
    assert_eq!(bound.count(), 4);
    let request = Request {
        scenario: Some("library/node-pool-upgrade.yaml".into()),
        manifests: vec!["manifests/two-tier.yaml".into()],
        start: Timestamp::parse("2026-03-03T00:00:00Z").ok(),
        ..request
    };
    let mixed = load(&folder, &request).expect("a good mixture");
    assert_eq!(mixed.config.state.len(), config.state.len());
    assert_eq!(mixed.config.nodes.len(), 4);
    assert_eq!(mixed.config.start_unix_seconds, Timestamp::parse("2026-03-03T00:00:00Z").unwrap().seconds);
    assert!(mixed.config.manifests.iter().any(|object| object.meta().namespace == "ledger"));
}

#[test]
fn owners_that_a_state_leaves_out_count_as_present() {
    let pod = |name: &str, owner: &str| {
        format!(
            "- apiVersion: v1
  kind: Pod
  metadata:
    name: {name}
    namespace: default
    uid: pod-{name}
    creationTimestamp: '2026-03-02T09:00:00Z'
    ownerReferences: [{{apiVersion: apps/v1, kind: DaemonSet, name: {owner}, uid: uid-{owner}, controller: true}}]
  spec: {{containers: [{{name: a, image: 'a:1'}}]}}
"
        )
    };
    let state = format!("apiVersion: v1\nkind: List\nitems:\n{}{}", pod("a", "one"), pod("b", "one"));
    let files = memory(&[("state.yaml", &state)]);
    let request = Request { state: Some("state.yaml".into()), ..Request::default() };
    let loaded = loaded(&files, &request);
    let absent: Vec<String> = loaded.config.absent_owners.iter().map(|uid| uid.to_string()).collect();
    assert_eq!(absent, ["uid-one"]);
    assert_eq!(
        loaded.warnings.to_string(),
        "command line: warning: the state names 1 owner of kind DaemonSet that it does not hold, such as one of Pod default/a; owners left out count as present (dump objects of kind DaemonSet too, so that they act)\n"
    );
}

#[test]
fn a_number_of_nodes_is_only_for_runs_whose_machines_nobody_describes() {
    let folder = Folder::of_crate();
    let request =
        Request { scenario: Some("library/steady-state.yaml".into()), nodes: Some(4), ..Request::default() };
    let findings = load(&folder, &request).expect_err("two answers to one question");
    assert!(findings.to_string().contains("a number of nodes is for runs whose machines nobody describes"));
}

#[test]
fn real_manifests_are_played_as_they_are() {
    let data = std::env::var_os("SEATRIAL_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let manifests = data.join("manifests");
    if !manifests.is_dir() {
        println!("skipped: needs the manifests in {}", manifests.display());
        return;
    }
    let folder = Folder::of_crate();
    for name in ["online-boutique.yaml", "guestbook.yaml", "cassandra.yaml"] {
        let request = Request { manifests: vec![manifests.join(name)], nodes: Some(6), ..Request::default() };
        let loaded = load(&folder, &request).unwrap_or_else(|findings| panic!("{findings}"));
        let mut simulation = Simulation::new(loaded.config).expect("it can be played");
        simulation.run();
        let [pending, running, succeeded, failed] = simulation.pod_counts();
        assert!(running > 0, "{name}: nothing runs");
        assert_eq!([pending, succeeded, failed], [0; 3], "{name}: pending, succeeded, failed");
    }
}

#[test]
fn the_example_of_everything_loads() {
    let folder = Folder::of_crate();
    let read =
        |path: &str| seatrial_scenarios::Files::read(&folder, Path::new(path)).expect("a readable file");
    let mut files = Memory::new();
    files.insert("s.yaml".into(), read("tests/corpus/scenario/everything.yaml"));
    let extra = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: cart, namespace: shop}
spec: {maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}}
---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: nobody, namespace: shop}
spec: {serviceName: nobody, selector: {matchLabels: {app: nobody}}, template: {metadata: {labels: {app: nobody}}, spec: {containers: [{name: a, image: 'a:1'}]}}}
";
    let app = [read("tests/bad/manifests/app.yaml"), extra.as_bytes().to_vec()].concat();
    files.insert("manifests/app.yaml".into(), app);
    let request = Request { scenario: Some("s.yaml".into()), ..Request::default() };
    let loaded = loaded(&files, &request);
    assert_eq!(loaded.config.start_unix_seconds, Timestamp::parse("2026-03-01T11:00:00Z").unwrap().seconds);
    assert_eq!(loaded.expectations.len(), 17);
}

#[test]
fn ties_go_to_the_first_node_on_request() {
    let config = scenario("ties: first\npolicy: least-allocated\n").config;
    assert_eq!(config.scheduler.ties, TieBreak::First);
    assert_eq!(config.scheduler_configuration().ties, TieBreak::First);
}

#[test]
fn a_scheduler_configuration_takes_the_place_of_a_policy() {
    let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    let scenario =
        "apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {name: it}\nschedulerConfig: sub/sched.yaml\n";
    let files = memory(&[
        ("in/s.yaml", scenario),
        ("in/sub/sched.yaml", &format!("{head}percentageOfNodesToScore: 30\n")),
    ]);
    let request = Request { scenario: Some("in/s.yaml".into()), seed: Some(3), ..Request::default() };
    let loaded = loaded(&files, &request);
    assert_eq!(loaded.config.scheduler.percentage_of_nodes_to_score, Some(30));
    assert_eq!((loaded.config.scheduler.seed, loaded.config.scheduler.ties), (3, TieBreak::Seeded));
    assert_eq!(loaded.inputs, [PathBuf::from("in/s.yaml"), PathBuf::from("in/sub/sched.yaml")]);
}

#[test]
fn a_policy_keeps_its_own_rules_unless_the_scenario_says_otherwise() {
    use seatrial_scheduler::config::{QueueDiscipline, TieBreak};
    let rows = [
        ("policy: default\n", TieBreak::Seeded, QueueDiscipline::Priority),
        ("policy: first-fit\n", TieBreak::First, QueueDiscipline::Priority),
        ("policy: first-fit\nties: seeded\n", TieBreak::Seeded, QueueDiscipline::Priority),
        ("policy: tetris\n", TieBreak::Seeded, QueueDiscipline::Tetris),
        ("policy: tetris\nqueue: fifo\nties: first\n", TieBreak::First, QueueDiscipline::Fifo),
    ];
    for (body, ties, discipline) in rows {
        let scheduler = scenario(body).config.scheduler;
        assert_eq!((scheduler.ties, scheduler.queue.discipline), (ties, discipline), "{body}");
    }
    let timeout = scenario("gangScheduling: {}\n").config.scheduler.queue.gangs.map(|gangs| gangs.timeout);
    assert_eq!(timeout, Some(Span::from_secs(60)));
}

#[test]
fn extenders_are_called_only_if_that_is_allowed() {
    #[derive(Debug)]
    struct Deaf;
    impl ExtenderClient for Deaf {
        fn post(&self, _: &str, _: &str, _: Span) -> Result<String, String> {
            Err("deaf".into())
        }
    }
    let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    let files = memory(&[
        (
            "s.yaml",
            "apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {name: it}\nschedulerConfig: c.yaml\n",
        ),
        ("c.yaml", &format!("{head}extenders: [{{urlPrefix: 'http://x', filterVerb: f}}]\n")),
    ]);
    let request = Request { scenario: Some("s.yaml".into()), ..Request::default() };
    let refused = load(&files, &request).map(|_| ()).unwrap_err().to_string();
    let expected = "s.yaml:4:18: schedulerConfig: it has extenders, and what they answer cannot be reproduced (--allow-extender-calls";
    assert!(refused.starts_with(expected), "{refused}");
    let request = Request { extender_calls: ExtenderCalls(Some(Arc::new(Deaf))), ..request };
    let allowed = loaded(&files, &request).config.scheduler;
    assert_eq!(allowed.extenders.len(), 1);
    assert!(Scheduler::new(allowed).is_ok());
}

fn with_claim(body: &str, class: &str) -> Loaded {
    let text = format!(
        "apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {{name: it}}\nmanifests: [m.yaml]\n{body}"
    );
    let claim = format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec:\n  {class}\n  \
         accessModes: [ReadWriteOnce]\n  resources: {{requests: {{storage: 1Gi}}}}\n"
    );
    let request = Request { scenario: Some("s.yaml".into()), ..Request::default() };
    loaded(&memory(&[("s.yaml", &text), ("m.yaml", &claim)]), &request)
}

#[test]
fn claims_find_classes() {
    let names = |loaded: &Loaded| -> Vec<(String, bool)> {
        let classes = &loaded.config.storage.classes;
        classes.iter().map(|class| (class.meta.name.to_string(), class.is_default())).collect()
    };
    let plain = with_claim("", "volumeMode: Filesystem");
    assert_eq!(names(&plain), [("standard".to_string(), true)]);
    assert!(plain.warnings.is_empty(), "{}", plain.warnings);

    let named =
        with_claim("storage:\n  - {class: fast, capacity: 10Gi, attach: 5s}\n", "storageClassName: fast");
    assert_eq!(names(&named), [("standard".to_string(), true), ("fast".to_string(), false)]);
    let said = named.warnings.to_string();
    assert!(said.contains("claims name the StorageClass fast, which nobody describes"), "{said}");
    let profile = &named.config.storage.profiles[0];
    assert_eq!((profile.class.as_str(), profile.capacity), ("fast", Some(Bytes(10 << 30))));
    assert_eq!(profile.attach, Some(Distribution::Constant { value: Span::from_secs(5) }));
    assert_eq!((profile.zonal, &profile.detach), (None, &None));

    // The empty class asks for a volume that was made by hand.
    let by_hand = with_claim("", "storageClassName: \"\"");
    assert_eq!(names(&by_hand), [("standard".to_string(), true)]);
    assert!(by_hand.warnings.is_empty(), "{}", by_hand.warnings);
}
