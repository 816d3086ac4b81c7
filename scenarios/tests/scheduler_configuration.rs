//! The file of the real kube-scheduler, read.

use seatrial_api::document::Diagnostics;
use seatrial_api::units::Span;
use seatrial_scenarios::read_scheduler_configuration;
use seatrial_scheduler::config::{
    ClientRate, DefaultConstraints, SchedulerConfiguration, ScoringStrategy, ShapePoint,
};

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn read(body: &str) -> (Option<SchedulerConfiguration>, String) {
    let mut findings = Diagnostics::new();
    let text = format!("{HEAD}{body}");
    let configuration = read_scheduler_configuration("scheduler.yaml", text.as_bytes(), &mut findings);
    (configuration, findings.to_string())
}

#[track_caller]
fn good(body: &str) -> SchedulerConfiguration {
    let (configuration, findings) = read(body);
    configuration.unwrap_or_else(|| panic!("{findings}"))
}

#[test]
fn an_empty_configuration_is_upstreams() {
    assert_eq!(good(""), SchedulerConfiguration::default());
    assert_eq!(good("profiles: []\nextenders: []\n"), SchedulerConfiguration::default());
}

#[test]
fn plugins_and_their_arguments_are_taken_over() {
    let configuration = good(
        "percentageOfNodesToScore: 50
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
clientConnection: {qps: 100, burst: 200}
profiles:
  - schedulerName: bin-packer
    percentageOfNodesToScore: 100
    plugins:
      multiPoint:
        disabled: [{name: PodTopologySpread}]
      score:
        disabled: [{name: '*'}]
        enabled: [{name: NodeResourcesFit, weight: 5}]
    pluginConfig:
      - name: NodeResourcesFit
        args:
          apiVersion: kubescheduler.config.k8s.io/v1
          kind: NodeResourcesFitArgs
          ignoredResources: [example.com/foo]
          scoringStrategy:
            type: RequestedToCapacityRatio
            resources: [{name: cpu, weight: 3}, {name: memory}]
            requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}
      - name: InterPodAffinity
        args: {hardPodAffinityWeight: 7, ignorePreferredTermsOfExistingPods: true}
      - name: NodeAffinity
        args:
          addedAffinity:
            requiredDuringSchedulingIgnoredDuringExecution:
              nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}]
      - name: PodTopologySpread
        args:
          defaultingType: List
          defaultConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: ScheduleAnyway}]
      - name: DefaultPreemption
        args: {minCandidateNodesPercentage: 20, minCandidateNodesAbsolute: 5}
      - name: VolumeBinding
        args: {bindTimeoutSeconds: 60}
      - name: NodeResourcesBalancedAllocation
        args: {resources: [{name: cpu, weight: 1}]}
  - schedulerName: default-scheduler
",
    );
    assert_eq!(configuration.percentage_of_nodes_to_score, Some(50));
    assert_eq!(configuration.pod_max_backoff, Span::from_secs(20));
    assert_eq!(configuration.client, ClientRate::Limited { qps: 100, burst: 200 });
    let [packer, default] = configuration.profiles.as_slice() else { panic!("two profiles") };
    assert_eq!(
        (packer.scheduler_name.as_str(), default.scheduler_name.as_str()),
        ("bin-packer", "default-scheduler")
    );
    assert_eq!(packer.percentage_of_nodes_to_score, Some(100));
    assert_eq!(packer.plugins.multi_point.disabled, ["PodTopologySpread"]);
    assert_eq!(packer.plugins.score.enabled[0].weight, 5);
    let arguments = &packer.arguments;
    let shape = [(0, 0), (100, 10)].map(|(utilization, score)| ShapePoint { utilization, score });
    assert_eq!(arguments.fit.strategy, ScoringStrategy::RequestedToCapacityRatio(shape.to_vec()));
    assert_eq!(arguments.fit.resources[0].weight, 3);
    assert_eq!(arguments.fit.ignored_resources[0].as_str(), "example.com/foo");
    assert_eq!(arguments.hard_pod_affinity_weight, 7);
    assert!(arguments.ignore_preferred_terms_of_existing_pods);
    assert_eq!(arguments.added_affinity.required.as_ref().map(|terms| terms.len()), Some(1));
    assert!(matches!(&arguments.default_constraints, DefaultConstraints::List(list) if list.len() == 1));
    assert_eq!(arguments.preemption.min_candidate_nodes_absolute, 5);
    assert_eq!(arguments.volume_bind_timeout, Span::from_secs(60));
    assert_eq!(arguments.balanced_resources.len(), 1);
}

#[test]
fn settings_of_the_real_process_are_named_and_have_no_effect() {
    let (configuration, findings) = read("leaderElection: {leaderElect: false}\nparallelism: 16\n");
    assert_eq!(configuration, Some(SchedulerConfiguration::default()));
    assert_eq!(
        findings,
        "scheduler.yaml:4:14: warning: parallelism: the setting is about the real scheduler's process and has no effect here
scheduler.yaml:3:17: warning: leaderElection: the setting is about the real scheduler's process and has no effect here
"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (body, expected) in [
        (
            "percentageOfNodesToScor: 5\n",
            "scheduler.yaml:3:1: percentageOfNodesToScor: there is no such field (did you mean percentageOfNodesToScore?)\n",
        ),
        (
            "extenders: [{urlPrefix: x}]\n",
            "scheduler.yaml:3:13: extenders[0]: this is not supported (leave it out)\n",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFitt, args: {}}]}]\n",
            "scheduler.yaml:3:35: profiles[0].pluginConfig[0].name: expected one of NodeResourcesFit, NodeResourcesBalancedAllocation, InterPodAffinity, NodeAffinity, PodTopologySpread, DefaultPreemption, VolumeBinding, found \"NodeResourcesFitt\" (did you mean NodeResourcesFit?)\n",
        ),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NoSuchPlugin}]}}}]\n",
            "scheduler.yaml:1:1: plugins: there is no plugin named \"NoSuchPlugin\"\n",
        ),
        (
            "podInitialBackoffSeconds: 0\n",
            "scheduler.yaml:1:1: podInitialBackoffSeconds: the initial back-off must be positive and not longer than the longest\n",
        ),
    ] {
        let (configuration, findings) = read(body);
        assert_eq!((configuration, findings.as_str()), (None, expected), "{body}");
    }
}
