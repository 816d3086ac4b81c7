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
fn extenders_are_read_and_what_they_manage_is_left_to_them() {
    let configuration = good(
        "extenders:
  - urlPrefix: http://127.0.0.1:8888/gpu
    filterVerb: filter
    prioritizeVerb: prioritize
    weight: 5
    httpTimeout: 1500ms
    nodeCacheCapable: true
    managedResources: [{name: example.com/gpu, ignoredByScheduler: true}]
  - {urlPrefix: 'http://binder', bindVerb: bind, ignorable: true}
",
    );
    let [gpu, binder] = configuration.extenders.as_slice() else { panic!("two extenders") };
    assert_eq!((gpu.url.as_str(), gpu.filter_verb.as_str()), ("http://127.0.0.1:8888/gpu", "filter"));
    assert_eq!((gpu.weight, gpu.timeout, gpu.node_cache_capable), (5, Span::from_millis(1500), true));
    assert!(gpu.managed_resources[0].ignored_by_scheduler && !gpu.is_ignorable);
    assert_eq!((binder.bind_verb.as_str(), binder.timeout), ("bind", Span::from_secs(5)));
    assert!(binder.is_ignorable && binder.filter_verb.is_empty());
}

#[test]
fn what_upstream_reads_as_a_default_is_one_here() {
    let configuration = good(
        "clientConnection: {qps: 0, burst: 0}
profiles:
  - plugins:
      queueSort: {enabled: [{name: PrioritySort}], disabled: [{name: '*'}]}
      postBind: {disabled: [{name: '*'}]}
      multiPoint: {enabled: [{name: NodeDeclaredFeatures}, {name: NodeResourcesFit, weight: 7}]}
    pluginConfig:
      - {name: NodeAffinity}
",
    );
    assert_eq!(configuration.client, ClientRate::Limited { qps: 50, burst: 100 });
    assert_eq!(configuration.profiles[0].scheduler_name.as_str(), "default-scheduler");
    let fit = |weight| {
        let args = format!("{{type: MostAllocated, resources: [{{name: cpu, weight: {weight}}}]}}");
        good(&format!(
            "profiles: [{{pluginConfig: [{{name: NodeResourcesFit, args: {{scoringStrategy: {args}}}}}]}}]\n"
        ))
    };
    assert_eq!(fit(0).profiles[0].arguments.fit.resources[0].weight, 1);
}

#[test]
fn a_disabled_plugin_that_does_not_exist_is_warned_about() {
    let (configuration, findings) =
        read("profiles: [{plugins: {score: {disabled: [{name: ImageLocalty}, {name: '*'}]}}}]\n");
    assert!(configuration.is_some());
    let warning = "scheduler.yaml:3:49: warning: profiles[0].plugins.score.disabled[0].name: there is no plugin named \"ImageLocalty\"\n";
    assert_eq!(findings, warning);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (body, expected) in [
        (
            "percentageOfNodesToScor: 5\n",
            "3:1: percentageOfNodesToScor: there is no such field (did you mean percentageOfNodesToScore?)",
        ),
        (
            "percentageOfNodesToScore: 101\n",
            "3:27: percentageOfNodesToScore: expected a whole number from 0 to 100, found 101",
        ),
        (
            "podInitialBackoffSeconds: 0\n",
            "3:27: podInitialBackoffSeconds: expected a whole number from 1 to 9223372036, found 0",
        ),
        (
            "podInitialBackoffSeconds: 11\n",
            "3:27: podInitialBackoffSeconds: the initial back-off must be positive and not longer than the longest",
        ),
        (
            "clientConnection: {qps: 0.5}\n",
            "3:25: clientConnection.qps: expected a whole number of requests per second, found 0.5",
        ),
        (
            "extenders: [{urlPrefix: 'https://x'}]\n",
            "3:25: extenders[0].urlPrefix: expected an address such as http://127.0.0.1:8888/scheduler, found \"https://x\"",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', enableHTTPS: true}]\n",
            "3:50: extenders[0].enableHTTPS: this is not supported (leave it out)",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', prioritizeVerb: p}]\n",
            "3:13: extenders[0].weight: an extender that scores nodes needs a positive weight",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', bindVerb: b}, {urlPrefix: 'http://y', bindVerb: b}]\n",
            "3:85: extenders[1].bindVerb: only one extender can bind pods",
        ),
        (
            "extenders: [{urlPrefix: 'http://x', managedResources: [{name: cpu}]}]\n",
            "3:63: extenders[0].managedResources[0].name: cpu is no extended resource, or it is managed already",
        ),
        (
            "profiles: [{schedulerName: a}, {schedulerName: a}]\n",
            "3:48: profiles[1].schedulerName: there is another profile named a",
        ),
        (
            "profiles: [{schedulerName: a}, {}]\n",
            "3:32: profiles[1].schedulerName: the field is needed where there are several profiles, and missing",
        ),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NoSuchPlugin}]}}}]\n",
            "3:48: profiles[0].plugins.score.enabled[0].name: there is no plugin named \"NoSuchPlugin\"",
        ),
        (
            "profiles: [{plugins: {multiPoint: {enabled: [{name: EBSLimits}]}}}]\n",
            "3:53: profiles[0].plugins.multiPoint.enabled[0].name: there is no plugin named \"EBSLimits\"",
        ),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: ImageLocality}]}}}]\n",
            "3:49: profiles[0].plugins.filter.enabled[0].name: plugin \"ImageLocality\" takes no part in this extension point",
        ),
        (
            "profiles: [{plugins: {score: {enabled: [{name: ImageLocality}, {name: ImageLocality}]}}}]\n",
            "3:71: profiles[0].plugins.score.enabled[1].name: plugin \"ImageLocality\" is enabled twice",
        ),
        (
            "profiles: [{plugins: {queueSort: {enabled: [{name: Coscheduling}]}}}]\n",
            "3:52: profiles[0].plugins.queueSort.enabled[0].name: plugin \"Coscheduling\" takes no part in this extension point",
        ),
        (
            "profiles: [{plugins: {postBind: {enabled: [{name: ImageLocality}]}}}]\n",
            "3:51: profiles[0].plugins.postBind.enabled[0].name: plugin \"ImageLocality\" takes no part in this extension point",
        ),
        (
            "profiles: [{plugins: {placementScore: {}}}]\n",
            "3:39: profiles[0].plugins.placementScore: this is not supported (leave it out)",
        ),
        (
            "profiles: [{plugins: {bind: {disabled: [{name: '*'}]}}}]\n",
            "3:29: profiles[0].plugins.bind: at least one bind plugin is needed",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFitt, args: {}}]}]\n",
            "3:35: profiles[0].pluginConfig[0].name: expected one of NodeResourcesFit, NodeResourcesBalancedAllocation, InterPodAffinity, NodeAffinity, PodTopologySpread, DefaultPreemption, VolumeBinding, DynamicResources, found \"NodeResourcesFitt\" (did you mean NodeResourcesFit?)",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeAffinity}, {name: NodeAffinity}]}]\n",
            "3:57: profiles[0].pluginConfig[1].name: NodeAffinity has its arguments already",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeAffinity, args: {kind: NodeAffinity}}]}]\n",
            "3:62: profiles[0].pluginConfig[0].args.kind: expected NodeAffinityArgs, found \"NodeAffinity\"",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: LeastAllocated, requestedToCapacityRatio: {shape: []}}}}]}]\n",
            "3:126: profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio: a shape counts only for the type RequestedToCapacityRatio",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio}}}]}]\n",
            "3:77: profiles[0].pluginConfig[NodeResourcesFit].args.scoringStrategy: the shape needs points with utilization 0 to 100 and score 0 to 10",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu}, {name: cpu}]}}]}]\n",
            "3:100: profiles[0].pluginConfig[0].args.resources[1]: cpu is listed twice",
        ),
        (
            "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]}}]}]\n",
            "3:81: profiles[0].pluginConfig[0].args.defaultConstraints: constraints count only with defaultingType List",
        ),
        (
            "profiles: [{pluginConfig: [{name: DefaultPreemption, args: {minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}}]}]\n",
            "3:60: profiles[0].pluginConfig[DefaultPreemption].args: the percentage must be from 0 to 100, the number not negative, and not both 0",
        ),
        (
            "profiles: [{pluginConfig: [{name: VolumeBinding, args: {shape: []}}]}]\n",
            "3:64: profiles[0].pluginConfig[0].args.shape: this is not supported (leave it out)",
        ),
    ] {
        let (configuration, findings) = read(body);
        assert_eq!((configuration, findings), (None, format!("scheduler.yaml:{expected}\n")), "{body}");
    }
}
