use super::*;
use crate::container::{HandlerAction, PortRef, PullPolicy, RestartPolicy};
use crate::document::ObjectReader;
use crate::labels::{Labels, Operator};
use crate::networking::{IngressBackend, PathType, PolicyPeer};
use crate::pod::{ContainerState, PodConditionType, PodPhase, VolumeSource};
use crate::storage::ClaimResize;
use crate::units::{Bytes, MilliCpu, SimTime};
use crate::vertical::{ControlledValues, UpdateMode};
use crate::workload::{DeploymentStrategy, IntOrPercent};

/// Decodes all objects of `text`: the objects, and the findings.
fn decode(mode: Mode, text: &str) -> (Vec<Object>, String) {
    let mut decoder = Decoder::new(mode, Calendar::default(), KubernetesVersion::V1_36);
    let (mut reader, mut findings) = (ObjectReader::new("f", text.as_bytes()), Diagnostics::new());
    let mut objects = Vec::new();
    while let Some(node) = reader.next(&mut findings) {
        let file = reader.file().clone();
        objects.extend(decoder.decode(&node, &file, &mut findings));
    }
    (objects, findings.to_string())
}

#[track_caller]
fn object(mode: Mode, text: &str) -> Object {
    let (mut objects, findings) = decode(mode, text);
    assert_eq!(findings, "", "{text}");
    assert_eq!(objects.len(), 1, "{text}");
    objects.remove(0)
}

/// Asserts that decoding `text` finds exactly `expected`.
#[track_caller]
fn finds(text: &str, expected: &[&str]) {
    let (_, findings) = decode(Mode::Manifest, text);
    assert_eq!(findings.lines().collect::<Vec<_>>(), expected, "{text}");
}

macro_rules! expect_kind {
    ($object:expr, $kind:ident) => {
        match $object {
            Object::$kind(object) => object,
            other => panic!("expected a {}, found {other:?}", stringify!($kind)),
        }
    };
}

const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: app}\n";

#[test]
fn a_deployment_gets_the_defaults_of_the_api_server() {
    let text = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: app:1
        ports: [{containerPort: 80, name: http}]
        resources: {limits: {cpu: 500m, memory: 1Gi}, requests: {memory: 64Mi}}
        readinessProbe: {httpGet: {port: http}}
      volumes: [{name: scratch}]
";
    let deployment = expect_kind!(object(Mode::Manifest, text), Deployment);
    assert_eq!(deployment.meta.full_name(), "default/web");
    assert_eq!((deployment.replicas, deployment.revision_history_limit), (1, 10));
    assert_eq!(deployment.progress_deadline_seconds, 600);
    let quarter = IntOrPercent::Percent(25);
    let strategy = DeploymentStrategy::RollingUpdate { max_surge: quarter, max_unavailable: quarter };
    assert_eq!(deployment.strategy, strategy);
    let spec = &deployment.template.spec;
    assert_eq!(spec.restart_policy, RestartPolicy::Always);
    assert_eq!(
        (spec.termination_grace_period_seconds, spec.scheduler_name.as_str()),
        (30, "default-scheduler")
    );
    assert_eq!(spec.volumes[0].source, VolumeSource::EmptyDir { memory: false, size_limit: Bytes(0) });
    let container = &spec.containers[0];
    assert_eq!(container.pull_policy, PullPolicy::IfNotPresent);
    assert_eq!(container.requests.cpu, Some(MilliCpu(500)), "the limit is the default request");
    assert_eq!(container.requests.memory, Some(Bytes(64 << 20)));
    assert_eq!(spec.derived.requests.cpu, MilliCpu(500), "what is derived is computed");
    let probe = container.readiness_probe.as_ref().expect("a probe");
    let action =
        HandlerAction::HttpGet { path: "/".into(), port: PortRef::Name("http".into()), https: false };
    assert_eq!(probe.action, action);
    assert_eq!((probe.period_seconds, probe.timeout_seconds, probe.failure_threshold), (10, 1, 3));
}

#[test]
fn all_faults_of_an_object_are_found_at_once_with_their_places() {
    finds(
        "apiVersion: apps/v1
kind: Deployment
metadata: {name: Web, labels: {app: 1.0}}
spec:
  replicas: three
  selector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: Inside, values: [a]}]}
  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}
  template:
    metadata: {labels: {app: wob}}
    spec:
      containers:
      - imagee: app:1
        name: c
        resources: {requests: {cpu: 100X, memory: -1}}
        volumeMounts: [{name: data, mountPath: /data}]
        ports: [{containerPort: 70000}]
      tolerations: [{key: a, operator: Lt, value: '1'}]
",
        &[
            "f:3:18: metadata.name: expected at most 253 lower case letters, digits, '-' and '.', with a letter or digit at both ends, found \"Web\"",
            "f:3:37: metadata.labels.app: expected a text, found 1 (put it in quotes)",
            "f:5:13: spec.replicas: expected a whole number ≥ 0, found \"three\"",
            "f:6:80: spec.selector.matchExpressions[0].operator: expected one of In, NotIn, Exists, DoesNotExist, found \"Inside\"",
            "f:7:29: spec.strategy.rollingUpdate: maxSurge and maxUnavailable cannot both be 0",
            "f:11:7: spec.template.spec.volumes: container c mounts data, and there is no such volume",
            "f:12:9: spec.template.spec.containers[0].image: required field is missing, expected a text that is not empty",
            "f:12:9: warning: spec.template.spec.containers[0].imagee: unknown field; it is kept and has no effect (did you mean image?)",
            "f:14:37: spec.template.spec.containers[0].resources.requests.cpu: expected a quantity with one of the suffixes n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent, found \"100X\"",
            "f:14:51: spec.template.spec.containers[0].resources.requests.memory: expected a quantity that is not negative, found -1",
            "f:16:33: spec.template.spec.containers[0].ports[0].containerPort: expected a whole number from 1 to 65535, found 70000",
            "f:17:40: spec.template.spec.tolerations[0].operator: expected one of Equal, Exists, found \"Lt\"",
        ],
    );
}

#[test]
fn what_is_wrong_with_one_field_is_said_of_that_field() {
    let pod = |line: &str| format!("{POD}{line}");
    for (text, expected) in [
        (
            "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: r}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: a}]}}}\n".to_owned(),
            "f:4:62: spec.template.metadata: the labels do not match the selector a=b",
        ),
        ("kind: Pod\n".to_owned(), "f:1:1: apiVersion: required field is missing: every object says what it is"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n".to_owned(), "f:1:1: spec.containers: required field is missing, expected at least one container"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {}\n".to_owned(), "f:3:11: metadata.name: required field is missing, expected a name, or generateName"),
        ("apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: a}\n".to_owned(), "f:1:13: apiVersion: Deployment is not served in version extensions/v1beta1: write apps/v1"),
        (pod("  restartPolicy: Sometimes\n"), "f:7:18: spec.restartPolicy: expected one of Always, OnFailure, Never, found \"Sometimes\""),
        (pod("  - {name: c, image: b}\n"), "f:6:5: spec.containers: two of them are named c"),
        (pod("  hostNetwork: 1\n"), "f:7:16: spec.hostNetwork: expected true or false, found 1"),
        (pod("  priority: 5000000000\n"), "f:7:13: spec.priority: expected a whole number, found 5000000000"),
        (pod("  tolerations: [{operator: Equal}]\n"), "f:7:28: spec.tolerations[0].operator: expected Exists, for a toleration without a key, found \"Equal\""),
        (pod("  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}\n"), "f:7:97: spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: expected at least one term, found an empty list"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}, {port: 81}]}\n".to_owned(), "f:4:15: spec.ports: with more than one port each needs a name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {port: 80}\n".to_owned(), "f:4:14: data.port: expected a text, found 80 (put it in quotes)"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: c}\ndata: {key: plain}\n".to_owned(), "f:4:8: data.key: expected a value in base64, found key: \"plain\""),
        ("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {kind: Deployment, name: d}, minReplicas: 0, maxReplicas: 3}\n".to_owned(), "f:4:66: spec.minReplicas: expected a whole number ≥ 1, found 0"),
        ("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {minAvailable: 1, maxUnavailable: 150%}\n".to_owned(), "f:4:41: spec.maxUnavailable: expected a whole number ≥ 0, or 0% to 100%, found \"150%\""),
        ("apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {containers: [{name: c, image: a}]}}}\n".to_owned(), "f:4:25: spec.template.spec.restartPolicy: required field is missing, expected OnFailure or Never"),
        ("apiVersion: v1\nkind: Node\nmetadata: {name: node}\nspec: {taints: [{key: a, effect: Nope}]}\n".to_owned(), "f:4:34: spec.taints[0].effect: expected one of NoSchedule, PreferNoSchedule, NoExecute, found \"Nope\""),
    ] {
        finds(&text, &[expected]);
    }
}

#[test]
fn kinds_without_a_type_are_kept_whole() {
    let text = "apiVersion: example.com/v1\nkind: Service\nmetadata: {name: s, namespace: ns, labels: {a: b}}\nspec: {anything: [1, 2]}\n";
    let object = expect_kind!(object(Mode::Manifest, text), Untyped);
    assert_eq!((object.api_version.as_str(), object.kind.as_str()), ("example.com/v1", "Service"));
    assert_eq!(object.meta.full_name(), "ns/s");
    assert_eq!(object.meta.labels, Labels::of(&[("a", "b")]));
    let content = object.content.as_ref().expect("the content is kept");
    assert_eq!(
        content.at(&["spec", "anything"]).map(|node| node.value.to_string()).as_deref(),
        Some("[1,2]")
    );
    // So is a Job that another controller manages.
    let text = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {managedBy: example.com/queue}\n";
    expect_kind!(self::object(Mode::Manifest, text), Untyped);
}

#[test]
fn unknown_fields_are_kept_and_warned_about_once_per_kind_and_path() {
    let pod = |name: &str| {
        POD.replace("{name: p}", &format!("{{name: {name}}}")) + "  flavour: mild\n  resourceClaims: []\n"
    };
    let (objects, findings) = decode(Mode::Manifest, &format!("{}---\n{}", pod("a"), pod("b")));
    assert_eq!(
        findings.lines().collect::<Vec<_>>(),
        [
            "f:7:3: warning: spec.flavour: unknown field; it is kept and has no effect",
            "f:8:3: warning: spec.resourceClaims: this field is not played yet; it is kept and has no effect",
        ]
    );
    for object in objects {
        let written =
            object.meta().extra.as_ref().and_then(|extra| extra.written.clone()).expect("it is kept");
        assert!(written.value.to_string().contains("\"flavour\":\"mild\""));
    }
}

#[test]
fn a_manifest_is_posted_without_what_the_server_assigns() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, uid: u, resourceVersion: '7', creationTimestamp: '2029-12-31T23:59:00Z'}
spec: {nodeName: node, containers: [{name: c, image: a}]}\nstatus: {phase: Running, bogus: 1}\n";
    let pod = expect_kind!(object(Mode::Manifest, text), Pod);
    assert!(pod.meta.uid.is_unset());
    assert_eq!((pod.meta.resource_version, pod.status.phase), (0, PodPhase::Pending));
    assert_eq!(pod.node.map(|node| node.as_str()), Some("node"));
}

#[test]
fn a_pod_of_a_running_cluster_keeps_identity_status_and_times() {
    let text = "apiVersion: v1
kind: Pod
metadata:
  name: p
  namespace: shop
  uid: 0a0b0c0d-0000-4000-8000-000000000001
  resourceVersion: '77'
  creationTimestamp: '2029-12-31T23:59:00Z'
  deletionTimestamp: '2030-01-01T00:00:30Z'
  deletionGracePeriodSeconds: 30
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: rs, uid: u1, controller: true}]
spec:
  nodeName: node
  initContainers: [{name: i, image: a}]
  containers: [{name: c, image: a, volumeMounts: [{name: kube-api-access-abcde, mountPath: /x}]}, {name: d, image: a}]
  volumes: [{name: kube-api-access-abcde, projected: {}}]
status:
  phase: Running
  podIP: 10.0.0.7
  startTime: '2029-12-31T23:59:05Z'
  conditions:
  - {type: Ready, status: 'False', reason: ContainersNotReady, lastTransitionTime: '2029-12-31T23:59:10Z'}
  - {type: example.com/gate, status: 'True'}
  containerStatuses:
  - {name: d, state: {waiting: {reason: CrashLoopBackOff}}, restartCount: 3, ready: false,
     lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: '2029-12-31T23:59:50Z'}}}
  - {name: c, state: {running: {startedAt: '2029-12-31T23:59:08Z'}}, ready: true, started: true}
  initContainerStatuses:
  - {name: i, state: {terminated: {exitCode: 0, reason: Completed, startedAt: '2029-12-31T23:59:06Z', finishedAt: '2029-12-31T23:59:07Z'}}}
";
    let pod = expect_kind!(object(Mode::State, text), Pod);
    assert_eq!(pod.meta.uid.to_string(), "0a0b0c0d-0000-4000-8000-000000000001");
    assert_eq!((pod.meta.resource_version, pod.meta.created), (77, SimTime::from_secs(-60)));
    assert_eq!(pod.meta.deletion().map(|deletion| deletion.at), Some(SimTime::from_secs(30)));
    assert_eq!(pod.meta.controller().map(|owner| owner.uid.to_string()).as_deref(), Some("u1"));
    let status = &pod.status;
    assert_eq!((status.phase, status.start_time), (PodPhase::Running, Some(SimTime::from_secs(-55))));
    assert_eq!(status.ip, u32::from_be_bytes([10, 0, 0, 7]));
    assert_eq!(status.conditions.get(PodConditionType::Ready).since(), SimTime::from_secs(-50));
    let containers = status.containers.as_ref().expect("container statuses");
    assert_eq!(containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["i", "c", "d"]);
    assert!(
        matches!(containers[1].state, ContainerState::Running { started } if started == SimTime::from_secs(-52))
    );
    assert_eq!((containers[2].restarts, containers[2].last.map(|last| last.exit_code)), (3, Some(1)));
    assert_eq!(pod.spec.volumes[0].name, "kube-api-access", "so that siblings share their specification");
    assert_eq!(pod.spec.containers[0].mounts[0], "kube-api-access");
}

#[test]
fn pods_with_equal_specifications_share_one() {
    let pod = |name: &str, node: &str| {
        let affinity = format!(
            "  affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: \
             [{{matchFields: [{{key: metadata.name, operator: In, values: [{node}]}}]}}]}}}}}}\n"
        );
        let owner =
            "ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: u, controller: true}]";
        POD.replace("{name: p}", &format!("{{name: {name}, {owner}}}")) + &affinity
    };
    let (objects, findings) = decode(Mode::State, &format!("{}---\n{}", pod("a", "n1"), pod("b", "n2")));
    assert_eq!(findings, "");
    let pods: Vec<_> = objects.into_iter().map(|object| expect_kind!(object, Pod)).collect();
    assert!(Arc::ptr_eq(&pods[0].spec, &pods[1].spec));
    assert_eq!(pods[0].target_node.map(|node| node.as_str()), Some("n1"));
    assert_eq!(pods[1].target_node.map(|node| node.as_str()), Some("n2"));
}

#[test]
fn selectors_and_affinities_are_compiled() {
    let text = format!(
        "{POD}  nodeSelector: {{disk: ssd}}
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{{matchExpressions: [{{key: size, operator: Gt, values: ['3']}}, {{key: size, operator: Lt, values: [x]}}]}}]
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - {{weight: 7, podAffinityTerm: {{topologyKey: zone, labelSelector: {{matchLabels: {{app: a}}}}, namespaceSelector: {{}}}}}}
  topologySpreadConstraints: [{{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}}]
"
    );
    let pod = expect_kind!(object(Mode::Manifest, &text), Pod);
    let affinity = pod.spec.affinity.as_ref().expect("an affinity");
    let terms = affinity.node.required.as_ref().expect("terms");
    assert_eq!(terms[0].expressions[0].operator, Operator::Gt(3));
    assert_eq!(
        terms[0].expressions[1].operator,
        Operator::Never,
        "a bound that is no integer matches nothing"
    );
    let preferred = &affinity.anti.preferred[0];
    assert_eq!((preferred.weight, preferred.term.topology_key.as_str()), (7, "zone"));
    assert!(preferred.term.namespaces.selector.as_ref().is_some_and(|selector| selector.is_empty()));
    assert_eq!(pod.spec.topology_spread[0].selector, None, "an absent selector is not an empty one");
}

#[test]
fn the_newest_time_is_the_last_thing_that_happened() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {creationTimestamp: '2026-01-01T00:00:00Z', deletionTimestamp: '2026-09-01T00:00:00Z', annotations: {startTime: '2027-01-01T00:00:00Z'}}
status: {conditions: [{lastTransitionTime: '2026-01-01T00:00:09.5Z'}], containerStatuses: [{state: {running: {startedAt: '2026-01-01T00:00:07Z'}}}]}\n";
    let mut findings = Diagnostics::new();
    let node = ObjectReader::new("f", text.as_bytes()).next(&mut findings).expect("an object");
    assert_eq!(newest_time(&node).map(|time| time.to_string()).as_deref(), Some("2026-01-01T00:00:09.5Z"));
}

#[test]
fn annotations_about_gpus_are_compiled_into_the_specification() {
    let annotated =
        |annotations: &str| POD.replace("{name: p}", &format!("{{name: p, annotations: {{{annotations}}}}}"));
    let text = annotated("alibabacloud.com/gpu-count: '1', alibabacloud.com/gpu-milli: '460'");
    let pod = expect_kind!(object(Mode::Manifest, &text), Pod);
    let request = pod.spec.gpu.as_ref().expect("a request");
    assert_eq!((request.count, request.milli), (1, 460));
    let text = annotated("alibabacloud.com/gpu-count: '2', alibabacloud.com/gpu-milli: '460'");
    let (_, findings) = decode(Mode::Manifest, &text);
    assert!(findings.contains("alibabacloud.com/gpu-milli"), "{findings}");
    assert!(findings.contains("1000 for several GPUs"), "{findings}");
}

#[test]
fn an_ingress_says_hosts_paths_and_backends() {
    let text = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: main}
spec:
  ingressClassName: public
  tls: [{hosts: ['*.foo.com'], secretName: cert}]
  defaultBackend: {resource: {apiGroup: example.com, kind: Bucket, name: static}}
  rules:
  - host: a.foo.com
    http:
      paths:
      - {path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}
      - {pathType: ImplementationSpecific, backend: {service: {name: web, port: {name: http}}}}
  - {host: bare.foo.com}
";
    let ingress = expect_kind!(object(Mode::Manifest, text), Ingress);
    assert_eq!(ingress.class_name(), Some(Symbol::new("public")));
    let paths = ingress.rules[0].paths.as_deref().expect("paths");
    assert_eq!((paths[0].path.as_str(), paths[0].path_type), ("/api", PathType::Prefix));
    let backend = IngressBackend::Service { name: "web".into(), port: PortRef::Name("http".into()) };
    assert_eq!(paths[1].backend, backend);
    assert_eq!(ingress.rules[1].paths, None);
    assert!(matches!(ingress.default_backend, Some(IngressBackend::Resource { .. })));
    assert_eq!(ingress.tls[0].hosts[0], "*.foo.com");
}

#[test]
fn what_is_wrong_with_an_ingress_is_told() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\n";
    let rule = |path: &str| format!("{head}spec: {{rules: [{{http: {{paths: [{path}]}}}}]}}\n");
    let to = "backend: {service: {name: s, port: {number: 1}}}";
    for (text, expected) in [
        (format!("{head}spec: {{}}\n"), "spec.rules"),
        (format!("{head}spec: {{rules: [{{host: UPPER.com}}]}}\n"), "spec.rules[0].host"),
        (format!("{head}spec: {{rules: [{{host: 1.2.3.4}}]}}\n"), "spec.rules[0].host"),
        (rule(&format!("{{path: /a, {to}}}")), "pathType"),
        (rule(&format!("{{path: a, pathType: Exact, {to}}}")), "path"),
        (rule(&format!("{{path: /a//b, pathType: Prefix, {to}}}")), "path"),
        (rule(&format!("{{path: /a/.., pathType: Prefix, {to}}}")), "path"),
        (rule("{path: /a, pathType: Prefix}"), "backend"),
        (rule("{path: /a, pathType: Prefix, backend: {}}"), "backend.service"),
        (rule("{path: /a, pathType: Prefix, backend: {service: {name: s}}}"), "backend.service.port"),
    ] {
        let (objects, findings) = decode(Mode::Manifest, &text);
        assert!(objects.is_empty() && findings.contains(expected), "{text}\n{findings}");
    }
}

#[test]
fn a_cron_job_gets_its_defaults_and_a_schedule() {
    let text = "apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: '*/5 * * * *'
  timeZone: Europe/Berlin
  jobTemplate:
    metadata: {labels: {app: tick}}
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: app:1}]
";
    let cron_job = expect_kind!(object(Mode::Manifest, text), CronJob);
    assert!(cron_job.schedule.is_some());
    assert_eq!(cron_job.time_zone.as_ref().map(|zone| zone.name()), Some("Europe/Berlin"));
    assert_eq!(
        (cron_job.successful_jobs_history_limit, cron_job.failed_jobs_history_limit),
        (Some(3), Some(1))
    );
    assert_eq!(cron_job.template.meta.labels, Labels::of(&[("app", "tick")]));
    assert_eq!(cron_job.template.completions, Some(1));
    for (from, to, expected) in [
        ("'*/5 * * * *'", "'61 * * * *'", "f:5:13: spec.schedule: end of range (61) above maximum (59): 61"),
        (
            "'*/5 * * * *'",
            "'TZ=UTC * * * * *'",
            "f:5:13: spec.schedule: cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ),
        ("Europe/Berlin", "Mars/Base", "f:6:13: spec.timeZone: unknown time zone Mars/Base"),
    ] {
        finds(&text.replace(from, to), &[expected]);
    }
}

#[test]
fn a_network_policy_is_about_what_it_says_or_has_rules_for() {
    let policy = |spec: &str| {
        let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n";
        expect_kind!(object(Mode::Manifest, &format!("{head}spec: {spec}\n")), NetworkPolicy)
    };
    for (spec, ingress, egress) in [
        ("{podSelector: {}}", Some(0), None),
        ("{podSelector: {}, egress: [{}]}", Some(0), Some(1)),
        ("{podSelector: {}, egress: []}", Some(0), None),
        ("{podSelector: {}, policyTypes: [Egress]}", None, Some(0)),
        ("{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}, {}]}", Some(2), Some(0)),
    ] {
        let policy = policy(spec);
        let counts = [&policy.ingress, &policy.egress].map(|rules| rules.as_ref().map(|rules| rules.len()));
        assert_eq!(counts, [ingress, egress], "{spec}");
    }
    let spec = "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}, \
                {namespaceSelector: {}}], ports: [{port: 80, endPort: 90}, {port: http, protocol: UDP}]}]}";
    let policy = policy(spec);
    let rule = &policy.ingress.as_ref().expect("ingress")[0];
    assert!(matches!(rule.peers[0], PolicyPeer::Block { .. }));
    assert_eq!(rule.ports[0].end_port, Some(90));
    assert_eq!(rule.ports[1].port, Some(PortRef::Name("http".into())));
}

#[test]
fn what_is_wrong_with_a_network_policy_is_told() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n";
    for (rule, expected) in [
        ("{from: [{}]}", "from[0].podSelector"),
        ("{from: [{ipBlock: {cidr: 10.0.0.0}}]}", "ipBlock.cidr"),
        ("{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}", "ipBlock.except"),
        ("{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}", "from[0].ipBlock"),
        ("{ports: [{port: 80, endPort: 79}]}", "ports[0].endPort"),
        ("{ports: [{port: http, endPort: 79}]}", "ports[0].endPort"),
        ("{ports: [{endPort: 79}]}", "ports[0].endPort"),
    ] {
        let (objects, findings) =
            decode(Mode::Manifest, &format!("{head}spec: {{podSelector: {{}}, ingress: [{rule}]}}\n"));
        assert!(objects.is_empty() && findings.contains(expected), "{rule}\n{findings}");
    }
    let (objects, findings) =
        decode(Mode::Manifest, &format!("{head}spec: {{podSelector: {{}}, policyTypes: [Both]}}\n"));
    assert!(objects.is_empty() && findings.contains("spec.policyTypes"), "{findings}");
}

#[test]
fn a_replication_controller_selects_what_its_template_is_labelled_with() {
    let text = "apiVersion: v1
kind: ReplicationController
metadata: {name: web}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: c, image: app:1}]
";
    let controller = expect_kind!(object(Mode::Manifest, text), ReplicationController);
    assert_eq!(controller.replicas, 1);
    assert!(controller.selector.matches(&Labels::of(&[("app", "web"), ("tier", "front")])));
    assert_eq!(controller.meta.labels, Labels::of(&[("app", "web")]));
}

#[test]
fn limits_follow_from_each_other_and_contradictions_are_errors() {
    let text = |limit: &str| {
        format!("apiVersion: v1\nkind: LimitRange\nmetadata: {{name: l}}\nspec:\n  limits:\n  - {limit}\n")
    };
    let read = object(Mode::Manifest, &text("{type: Container, max: {cpu: 2}, min: {cpu: 1, memory: 1Gi}}"));
    let range = expect_kind!(read, LimitRange);
    assert_eq!(range.limits[0].default.to_string(), "cpu=2");
    assert_eq!(range.limits[0].default_request.to_string(), "cpu=2,memory=1Gi");
    finds(
        &text("{type: Pod, max: {cpu: 1}, min: {cpu: 2}}"),
        &["f:6:37: spec.limits[0].min: min of cpu, 2, is greater than its max, 1"],
    );
    finds(
        &text("{type: PersistentVolumeClaim}"),
        &["f:6:5: spec.limits[0].min: a limit of claims has min, max or both"],
    );
}

#[test]
fn a_quota_names_resources_and_scopes() {
    let text =
        |spec: &str| format!("apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: q}}\nspec: {spec}\n");
    let quota = expect_kind!(
        object(Mode::Manifest, &text("{hard: {pods: 3, count/jobs.batch: 1}, scopes: [Terminating]}")),
        ResourceQuota
    );
    assert_eq!((quota.hard.to_string().as_str(), quota.scopes.len()), ("count/jobs.batch=1,pods=3", 1));
    finds(&text("{hard: {podz: 1}}"), &["f:4:14: spec.hard: podz is no resource that a quota can limit"]);
    finds(
        &text("{hard: {pods: 1}, scopes: [BestEffort, NotBestEffort]}"),
        &["f:4:33: spec.scopes: conflicting scopes"],
    );
}

#[test]
fn a_vertical_autoscaler_says_what_it_controls() {
    let text = "apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: web}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  updatePolicy: {updateMode: Auto, minReplicas: 3}
  resourcePolicy:
    containerPolicies:
    - {containerName: proxy, mode: 'Off'}
    - {containerName: '*', controlledResources: [cpu], controlledValues: RequestsOnly, maxAllowed: {cpu: 2}}
";
    let autoscaler = expect_kind!(object(Mode::Manifest, text), VerticalPodAutoscaler);
    assert_eq!((autoscaler.update_mode, autoscaler.min_replicas), (UpdateMode::Recreate, Some(3)));
    assert!(autoscaler.policy("proxy".into()).is_off);
    let other = autoscaler.policy("app".into());
    assert!(other.controls_cpu && !other.controls_memory && !other.is_off);
    assert_eq!(other.controlled_values, ControlledValues::RequestsOnly);
    assert_eq!(other.max_allowed.cpu, Some(MilliCpu(2_000)));
    let head = "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: v}\n";
    for (spec, expected) in [
        ("{}", "spec.targetRef"),
        ("{targetRef: {kind: Deployment, name: w}, updatePolicy: {updateMode: Soon}}", "updateMode"),
        (
            "{targetRef: {kind: Deployment, name: w}, resourcePolicy: {containerPolicies: [{containerName: c, \
             controlledResources: [disk]}]}}",
            "controlledResources",
        ),
        (
            "{targetRef: {kind: Deployment, name: w}, resourcePolicy: {containerPolicies: [{containerName: c, \
             minAllowed: {cpu: 2}, maxAllowed: {cpu: 1}}]}}",
            "minAllowed",
        ),
    ] {
        let (objects, findings) = decode(Mode::Manifest, &format!("{head}spec: {spec}\n"));
        assert!(objects.is_empty() && findings.contains(expected), "{spec}\n{findings}");
    }
}

#[test]
fn storage_as_a_cluster_has_it_is_taken_as_it_is() {
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c, namespace: ns}\nspec: {accessModes: \
                 [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}\nstatus: {phase: Bound, accessModes: \
                 [ReadWriteOnce], capacity: {storage: 2Gi}, conditions: [{type: Resizing, status: 'True'}]}\n";
    let read = expect_kind!(object(Mode::State, claim), PersistentVolumeClaim);
    assert_eq!((read.capacity, read.resize), (Bytes(2 << 30), ClaimResize::Controller));
    assert!(read.granted_modes.read_write_once);
    let made = expect_kind!(object(Mode::Manifest, claim), PersistentVolumeClaim);
    assert_eq!((made.capacity, made.resize), (Bytes(0), ClaimResize::None), "a manifest has no status");

    let attachment = "apiVersion: storage.k8s.io/v1\nkind: VolumeAttachment\nmetadata: {name: csi-1}\nspec: {attacher: \
                      csi.example, nodeName: n1, source: {persistentVolumeName: pv}}\nstatus: {attached: true, \
                      detachError: {message: busy}}\n";
    let read = expect_kind!(object(Mode::State, attachment), VolumeAttachment);
    assert_eq!(
        (read.attacher.as_str(), read.node.as_str(), read.volume.as_str()),
        ("csi.example", "n1", "pv")
    );
    assert_eq!((read.attached, read.detach_error.as_str()), (true, "busy"));

    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {volumesInUse: [v], volumesAttached: \
                [{name: v, devicePath: ''}]}\n";
    let read = expect_kind!(object(Mode::State, node), Node);
    assert_eq!((read.volumes_in_use(), read.volumes_attached()), (&["v".into()][..], &["v".into()][..]));
}

#[test]
fn what_csi_drivers_say_is_read_with_its_defaults() {
    let driver = |spec: &str| {
        let head = "apiVersion: storage.k8s.io/v1\nkind: CSIDriver\nmetadata: {name: csi.example}\n";
        let driver = expect_kind!(object(Mode::Manifest, &format!("{head}spec: {spec}\n")), CsiDriver);
        (driver.attach_required, driver.storage_capacity)
    };
    assert_eq!(driver("{}"), (true, false));
    assert_eq!(driver("{attachRequired: false, storageCapacity: true}"), (false, true));
    let capacity = "apiVersion: storage.k8s.io/v1\nkind: CSIStorageCapacity\nmetadata: {name: x, namespace: ns}\n\
                    storageClassName: fast\nnodeTopology: {matchLabels: {zone: a}}\ncapacity: 10Gi\n\
                    maximumVolumeSize: 1Gi\n";
    let read = expect_kind!(object(Mode::Manifest, capacity), CsiStorageCapacity);
    assert_eq!((read.capacity, read.volume_max), (Some(Bytes(10 << 30)), Some(Bytes(1 << 30))));
    assert!(read.topology.is_some());
}

#[test]
fn an_ephemeral_volume_carries_the_claim_that_is_made_for_it() {
    let pod = |ephemeral: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: ns}}\nspec: {{containers: [{{name: c, image: \
             i}}], volumes: [{{name: data, ephemeral: {ephemeral}}}]}}\n"
        )
    };
    let template = "{volumeClaimTemplate: {metadata: {labels: {a: b}}, spec: {accessModes: [ReadWriteOnce], \
                    storageClassName: fast, resources: {requests: {storage: 1Gi}}}}}";
    let read = expect_kind!(object(Mode::Manifest, &pod(template)), Pod);
    let VolumeSource::Ephemeral(claim) = &read.spec.volumes[0].source else { panic!("ephemeral") };
    assert_eq!((claim.name.as_str(), claim.claim.request), ("data", Bytes(1 << 30)));
    assert_eq!(claim.claim.storage_class, Some("fast".into()));
    let (objects, findings) = decode(Mode::Manifest, &pod("{}"));
    assert!(objects.is_empty() && findings.contains("ephemeral.volumeClaimTemplate"), "{findings}");
}

#[test]
fn containers_run_as_their_pod_says_unless_they_say_otherwise() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  securityContext: {runAsNonRoot: true, runAsUser: \
                1000}\n  containers:\n  - {name: a, image: app}\n  - {name: b, image: app, securityContext: \
                {runAsNonRoot: false, runAsUser: 0}}\n";
    let pod = expect_kind!(object(Mode::Manifest, text), Pod);
    let said: Vec<_> =
        pod.spec.containers.iter().map(|container| (container.non_root, container.run_as_user)).collect();
    assert_eq!(said, [(Some(true), Some(1000)), (Some(false), Some(0))]);
}
