//! Memory that is used beyond limits and beyond what machines have, from the scenario to the end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use seatrial_api::node::{Node, NodeConditionType};
use seatrial_api::object::{Kind, Typed};
use seatrial_api::pod::{ConditionStatus, Pod, PodPhase};
use seatrial_api::units::{SimTime, Span};
use seatrial_scenarios::{Request, load};
use seatrial_sim_core::cluster::Simulation;

fn simulation(rest: &str) -> Simulation {
    let head = "apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {name: memory}\nfor: 30m\n";
    let files = BTreeMap::from([(PathBuf::from("s.yaml"), format!("{head}{rest}").into_bytes())]);
    let request = Request { scenario: Some("s.yaml".into()), ..Request::default() };
    let loaded = load(&files, &request).unwrap_or_else(|findings| panic!("{findings}"));
    Simulation::new(loaded.config).expect("a scenario that loads can be played")
}

#[test]
fn a_container_that_uses_more_than_its_limit_is_killed_and_restarted() {
    let mut simulation = simulation(
        "
nodes: [{name: worker, count: 1, machineType: m6i.xlarge}]
manifests:
  - |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: hog}
    spec:
      selector: {matchLabels: {app: hog}}
      template:
        metadata: {labels: {app: hog}}
        spec:
          containers:
            - {name: c, image: 'c:1', resources: {requests: {memory: 200Mi}, limits: {memory: 256Mi}}}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: modest}
    spec:
      selector: {matchLabels: {app: modest}}
      template:
        metadata: {labels: {app: modest}}
        spec:
          containers:
            - {name: c, image: 'c:1', resources: {requests: {memory: 200Mi}, limits: {memory: 256Mi}}}
podProfiles:
  - {selector: {matchLabels: {app: hog}}, usage: {memory: 257Mi}}
  - {selector: {matchLabels: {app: modest}}, usage: {memory: 256Mi}}
expect:
  - {name: it-restarts, restarts: {min: 5}, selector: {matchLabels: {app: hog}}}
",
    );
    simulation.run();
    let results = simulation.results(simulation.end());
    let restarts = |app: &str| {
        let pod = results.pods.iter().find(|pod| pod.name.starts_with(app)).expect("the pod");
        pod.restarts
    };
    // Waits of 10, 20, 40 … 300 seconds between them.
    assert!((6..=10).contains(&restarts("hog")), "{}", restarts("hog"));
    assert_eq!(restarts("modest"), 0);
    let hog = simulation.api().list_typed::<Pod>().find(|pod| pod.meta.name.starts_with("hog"));
    let status = hog.and_then(|pod| pod.status.containers.as_deref()?.first()).expect("a status");
    let last = status.last.expect("it was restarted");
    assert_eq!((last.reason.as_str(), last.exit_code), ("OOMKilled", 137));
}

const CROWD: &str = "
nodes: [{name: worker, count: 1, capacity: {cpu: 4, memory: 4Gi}, systemReserved: {memory: 1Gi}}]
manifests:
  - |
    apiVersion: scheduling.k8s.io/v1
    kind: PriorityClass
    metadata: {name: high}
    value: 1000
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: modest, labels: {app: modest}}
    spec: {containers: [{name: c, image: 'c:1', resources: {requests: {memory: 1Gi}}}]}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: greedy, labels: {app: greedy}}
    spec: {containers: [{name: c, image: 'c:1', resources: {requests: {memory: 512Mi}}}]}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: important, labels: {app: important}}
    spec:
      priorityClassName: high
      containers: [{name: c, image: 'c:1', resources: {requests: {memory: 256Mi}}}]
podProfiles:
  - {selector: {matchLabels: {app: modest}}, usage: {memory: 1Gi}}
  - {selector: {matchLabels: {app: greedy}}, usage: {memory: 1Gi}, stop: 30s}
  - {selector: {matchLabels: {app: important}}, usage: {memory: 1200Mi}}
expect:
  - {name: one-goes, evictions: {min: 1, max: 1}, by: [pressure]}
";

#[test]
fn a_machine_whose_pods_use_more_than_it_offers_evicts_by_excess_then_priority() {
    let mut simulation = simulation(CROWD);
    let pressure = |simulation: &Simulation| {
        let node = simulation.api().list_typed::<Node>().next().expect("the node");
        node.conditions.get(NodeConditionType::MemoryPressure).status
    };
    let phase = |simulation: &Simulation, name: &str| {
        let pod = simulation.api().find(Kind::Pod, "default".into(), name).and_then(Pod::of);
        let status = &pod.expect("the pod").status;
        (status.phase, status.text.as_ref().map_or(String::new(), |text| text.reason.to_string()))
    };
    simulation.run_until(SimTime::ZERO + Span::from_mins(2));
    assert_eq!(phase(&simulation, "greedy"), (PodPhase::Failed, "Evicted".into()));
    assert_eq!(
        phase(&simulation, "important").0,
        PodPhase::Running,
        "a larger excess, and a higher priority"
    );
    assert_eq!(phase(&simulation, "modest").0, PodPhase::Running, "it uses what it requests");
    assert_eq!(pressure(&simulation), ConditionStatus::True);
    simulation.run();
    assert_eq!(pressure(&simulation), ConditionStatus::False, "five minutes after it was seen last");
    assert_eq!(simulation.results(simulation.end()).evictions.pressure, 1);
    simulation.check_invariants().unwrap_or_else(|violation| panic!("{violation:?}"));
}

#[test]
fn memory_costs_no_events_while_there_is_enough() {
    let mut crowd = simulation(CROWD);
    let calm = CROWD.replace("memory: 4Gi}", "memory: 8Gi}");
    let mut calm = simulation(&calm);
    for simulation in [&mut crowd, &mut calm] {
        simulation.run_until(SimTime::ZERO + Span::from_mins(10));
    }
    let (crowded, calmed) = (crowd.events(), calm.events());
    for simulation in [&mut crowd, &mut calm] {
        simulation.run();
    }
    assert_eq!((crowd.events() - crowded, calm.events() - calmed), (0, 0), "both have come to rest");
}

#[test]
fn the_kernel_kills_where_the_kubelet_may_evict_nobody() {
    let critical = |name: &str, request: &str| {
        format!(
            "
    ---
    apiVersion: v1
    kind: Pod
    metadata: {{name: {name}, namespace: kube-system, labels: {{app: {name}}}}}
    spec:
      priorityClassName: system-cluster-critical
      containers: [{{name: c, image: 'c:1', resources: {{requests: {{memory: {request}}}}}}}]"
        )
    };
    let mut simulation = simulation(&format!(
        "
nodes: [{{name: worker, count: 1, capacity: {{cpu: 4, memory: 4Gi}}, systemReserved: {{memory: 1Gi}}}}]
manifests:
  - |{}{}
podProfiles:
  - {{selector: {{matchLabels: {{app: greedy}}}}, usage: {{memory: 3Gi}}}}
expect:
  - {{name: nobody-is-evicted, evictions: {{max: 0}}}}
",
        critical("modest", "1Gi"),
        critical("greedy", "512Mi")
    ));
    simulation.run();
    let results = simulation.results(simulation.end());
    let restarts = |name: &str| {
        let pod = results.pods.iter().find(|pod| pod.name == name).expect("the pod");
        (pod.restarts > 2, pod.phase)
    };
    assert_eq!(results.evictions.pressure, 0);
    assert_eq!(restarts("modest"), (false, PodPhase::Running));
    assert_eq!(restarts("greedy"), (true, PodPhase::Running), "what it asked for is least of what it uses");
}
