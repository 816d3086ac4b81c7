//! Histories as data, and as scenario files.

use std::fmt::Write;

use proptest::prelude::*;

/// How many minutes of calm follow on the disturbances.
pub(crate) const CALM: i64 = 60;
/// How many Deployments there are.
const DEPLOYMENTS: u8 = 3;
/// How many nodes there are, in three zones.
const NODES: u8 = 5;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Scale { deployment: u8, replicas: u8 },
    SetImage { deployment: u8, image: u8 },
    Restart { deployment: u8 },
    Undo { deployment: u8 },
    Delete { deployment: u8 },
    Create { deployment: u8, replicas: u8 },
    ScaleSet { replicas: u8 },
    SetImageOfSet { image: u8 },
    SetImageOfDaemons { image: u8 },
    Job { completions: u8, parallelism: u8 },
    Drain { node: u8 },
    Uncordon { node: u8 },
    Crash { node: u8, minutes: u8 },
    Partition { node: u8, seconds: u16 },
    KubeletCrash { node: u8, seconds: u16 },
    LosesScheduler { seconds: u16 },
    LosesControllers { seconds: u16 },
    RestartKubelet { node: u8 },
    RestartControllers,
    RestartScheduler,
}

/// What happens, each step so many seconds after the one before.
#[derive(Clone, Debug)]
pub(crate) struct History {
    seed: u16,
    /// Milliseconds of watch latency: the median and the 99th percentile.
    watch: (u16, u16),
    steps: Vec<(u8, Step)>,
}

fn step() -> impl Strategy<Value = Step> {
    let deployment = 0..DEPLOYMENTS;
    let node = 0..NODES;
    prop_oneof![
        4 => (deployment.clone(), 0u8..9).prop_map(|(deployment, replicas)| Step::Scale { deployment, replicas }),
        4 => (deployment.clone(), 1u8..4).prop_map(|(deployment, image)| Step::SetImage { deployment, image }),
        1 => deployment.clone().prop_map(|deployment| Step::Restart { deployment }),
        1 => deployment.clone().prop_map(|deployment| Step::Undo { deployment }),
        2 => deployment.clone().prop_map(|deployment| Step::Delete { deployment }),
        3 => (deployment, 1u8..7).prop_map(|(deployment, replicas)| Step::Create { deployment, replicas }),
        1 => (0u8..5).prop_map(|replicas| Step::ScaleSet { replicas }),
        1 => (1u8..4).prop_map(|image| Step::SetImageOfSet { image }),
        1 => (1u8..4).prop_map(|image| Step::SetImageOfDaemons { image }),
        2 => (1u8..7, 1u8..4).prop_map(|(completions, parallelism)| Step::Job { completions, parallelism }),
        1 => node.clone().prop_map(|node| Step::Drain { node }),
        1 => node.clone().prop_map(|node| Step::Uncordon { node }),
        2 => (node.clone(), 1u8..9).prop_map(|(node, minutes)| Step::Crash { node, minutes }),
        2 => (node.clone(), 1u16..400).prop_map(|(node, seconds)| Step::Partition { node, seconds }),
        1 => (node.clone(), 1u16..200).prop_map(|(node, seconds)| Step::KubeletCrash { node, seconds }),
        1 => (1u16..120).prop_map(|seconds| Step::LosesScheduler { seconds }),
        1 => (1u16..120).prop_map(|seconds| Step::LosesControllers { seconds }),
        1 => node.prop_map(|node| Step::RestartKubelet { node }),
        1 => Just(Step::RestartControllers),
        1 => Just(Step::RestartScheduler),
    ]
}

/// Random histories.
pub(crate) fn histories() -> impl Strategy<Value = History> {
    let watch = prop_oneof![Just((10, 50)), Just((200, 3_000)), Just((1_000, 20_000))];
    (any::<u16>(), watch, prop::collection::vec((0u8..60, step()), 1..24))
        .prop_map(|(seed, watch, steps)| History { seed, watch, steps })
}

fn pod_template(app: &str, image: u8, restart: &str) -> String {
    let tolerations = ["not-ready", "unreachable"].map(|key| {
        format!(
            "{{key: node.kubernetes.io/{key}, operator: Exists, effect: NoExecute, tolerationSeconds: 20}}"
        )
    });
    format!(
        "{{metadata: {{labels: {{app: {app}}}}}, spec: {{terminationGracePeriodSeconds: 3, {restart}tolerations: \
         [{}], containers: [{{name: main, image: \"app:{image}\", resources: {{requests: {{cpu: 50m, memory: \
         32Mi}}}}}}]}}}}",
        tolerations.join(", ")
    )
}

fn workload(kind: &str, app: &str, spec: &str, image: u8) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: {app}, namespace: default}}, spec: {{{spec}selector: \
         {{matchLabels: {{app: {app}}}}}, template: {}}}}}",
        pod_template(app, image, "")
    )
}

/// The last one recreates its pods. A change of the strategy and the size in the middle of a rollout
/// is not among the histories: the real controller stays there for ever, waiting to scale.
fn deployment(number: u8, replicas: u8) -> String {
    let strategy = if number + 1 == DEPLOYMENTS { "strategy: {type: Recreate}, " } else { "" };
    workload("Deployment", &format!("web-{number}"), &format!("replicas: {replicas}, {strategy}"), 1)
}

impl History {
    /// The scenario file that plays it.
    pub(crate) fn scenario(&self) -> String {
        let mut file = String::from("apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {name: history}\n");
        let end: u32 = self.steps.iter().map(|(after, _)| u32::from(*after)).sum();
        // Faults last for minutes yet when the last step was made.
        let total = i64::from(end) / 60 + 10 + CALM;
        let (median, p99) = self.watch;
        let _ = write!(
            file,
            "seed: {}\nfor: {total}m\nlatency: {{watch: {{distribution: lognormal, median: {median}ms, p99: {p99}ms}}}}\n\
             nodes:\n  - {{name: node, count: {NODES}, capacity: {{cpu: 8, memory: 32Gi, pods: 110}}, zones: [a, b, c]}}\n\
             podProfiles:\n  - {{selector: {{matchLabels: {{app: sum}}}}, runTime: 7s}}\nmanifests:\n",
            self.seed,
        );
        for number in 0..DEPLOYMENTS {
            let _ = writeln!(file, "  - {}", deployment(number, number + 2));
        }
        let set = workload("StatefulSet", "db", "replicas: 3, serviceName: db, ", 1);
        let daemons = workload("DaemonSet", "agent", "", 1);
        let service = "{apiVersion: v1, kind: Service, metadata: {name: web-0, namespace: default}, spec: {selector: \
                       {app: web-0}, ports: [{port: 80}]}}";
        let budget = "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web-0, namespace: default}, \
                      spec: {maxUnavailable: 1, selector: {matchLabels: {app: web-0}}}}";
        let _ = write!(file, "  - {set}\n  - {daemons}\n  - {service}\n  - {budget}\n");
        self.write_steps(&mut file);
        file
    }

    fn write_steps(&self, file: &mut String) {
        let (mut timeline, mut faults) = (String::new(), String::new());
        let mut at = 0;
        let mut cordoned = Vec::new();
        for (number, (after, step)) in self.steps.iter().enumerate() {
            at += u32::from(*after);
            if let Some(action) = step.action(number) {
                let _ = writeln!(timeline, "  - {{at: {at}s, {action}}}");
            }
            if let Some(fault) = step.fault() {
                let _ = writeln!(faults, "  - {{name: fault-{number}, at: {at}s, {fault}}}");
            }
            if let Step::Drain { node } = step {
                cordoned.push(*node);
            }
        }
        // Nodes that were drained are given back, so that there is room for everything.
        for node in cordoned {
            let _ = writeln!(timeline, "  - {{at: {}s, uncordon: node-{node}}}", at + 240);
        }
        for (name, entries) in [("timeline", timeline), ("faults", faults)] {
            if !entries.is_empty() {
                let _ = write!(file, "{name}:\n{entries}");
            }
        }
    }
}

impl Step {
    /// What a person does.
    fn action(&self, number: usize) -> Option<String> {
        Some(match self {
            Step::Scale { deployment, replicas } => {
                format!("scale: {{deployment: default/web-{deployment}, replicas: {replicas}}}")
            }
            Step::SetImage { deployment, image } => {
                format!("setImage: {{deployment: default/web-{deployment}, image: \"app:{image}\"}}")
            }
            Step::Restart { deployment } => {
                format!("rolloutRestart: {{deployment: default/web-{deployment}}}")
            }
            Step::Undo { deployment } => format!("rolloutUndo: {{deployment: default/web-{deployment}}}"),
            Step::Delete { deployment } => format!("delete: {{deployment: default/web-{deployment}}}"),
            Step::Create { deployment: which, replicas } => {
                format!("apply: {}", deployment(*which, *replicas))
            }
            Step::ScaleSet { replicas } => {
                format!("scale: {{statefulSet: default/db, replicas: {replicas}}}")
            }
            Step::SetImageOfSet { image } => {
                format!("setImage: {{statefulSet: default/db, image: \"app:{image}\"}}")
            }
            Step::SetImageOfDaemons { image } => {
                format!("setImage: {{daemonSet: default/agent, image: \"app:{image}\"}}")
            }
            Step::Job { completions, parallelism } => format!(
                "apply: {{apiVersion: batch/v1, kind: Job, metadata: {{name: sum-{number}, namespace: default}}, spec: \
                 {{completions: {completions}, parallelism: {parallelism}, backoffLimit: 100, template: {}}}}}",
                pod_template("sum", 1, "restartPolicy: Never, ")
            ),
            Step::Drain { node } => format!("drain: node-{node}"),
            Step::Uncordon { node } => format!("uncordon: node-{node}"),
            Step::RestartKubelet { node } => format!("restart: {{kubelet: node-{node}}}"),
            Step::RestartControllers => "restart: {component: kube-controller-manager}".into(),
            Step::RestartScheduler => "restart: {component: kube-scheduler}".into(),
            _ => return None,
        })
    }

    /// What breaks.
    fn fault(&self) -> Option<String> {
        Some(match self {
            Step::Crash { node, minutes } => {
                format!("type: crash, target: {{node: node-{node}}}, duration: {minutes}m")
            }
            Step::Partition { node, seconds } => {
                format!("type: partition, target: {{node: node-{node}}}, duration: {seconds}s")
            }
            Step::KubeletCrash { node, seconds } => {
                format!("type: kubeletCrash, target: {{node: node-{node}}}, duration: {seconds}s")
            }
            Step::LosesScheduler { seconds } => {
                format!("type: crash, target: {{component: kube-scheduler}}, duration: {seconds}s")
            }
            Step::LosesControllers { seconds } => {
                format!("type: crash, target: {{component: kube-controller-manager}}, duration: {seconds}s")
            }
            _ => return None,
        })
    }
}
