//! Plays of the kubelet with a scripted runtime: init containers, sidecars, probes, images, objects
//! that are missing.

mod play;

use std::sync::Arc;

use play::{Action, Outcomes, Run, Term, World, container, ms, pod, secs, with_images};
use seatrial_api::config::ConfigMap;
use seatrial_api::container::{ConfigRef, Container, HandlerAction, Probe, PullPolicy, RestartPolicy};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Object;
use seatrial_api::pod::{PodPhase, PodSpec, Volume, VolumeSource};
use seatrial_api::runtime::{ContainerId, ProbeKind, RuntimeReport};
use seatrial_node::KubeletConfig;

fn probe() -> Option<Box<Probe>> {
    Some(Box::new(Probe {
        action: HandlerAction::Exec(Box::default()),
        initial_delay_seconds: 0,
        period_seconds: 10,
        timeout_seconds: 1,
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace_period_seconds: None,
    }))
}

fn sidecar(name: &str) -> Container {
    Container { restart_policy: Some(RestartPolicy::Always), ..container(name) }
}

fn plain() -> PodSpec {
    PodSpec::new(vec![container("main")])
}

fn lines<'a>(world: &'a World, words: &[&str]) -> Vec<&'a str> {
    let wanted = |line: &&(i64, String)| words.iter().any(|word| line.1.starts_with(word));
    world.log.iter().filter(wanted).map(|line| line.1.as_str()).collect()
}

#[test]
fn init_containers_run_one_after_the_other_before_the_main_ones() {
    let mut world = World::new(with_images());
    let spec = PodSpec { init_containers: vec![container("a"), container("b")].into(), ..plain() };
    world.script.runs.insert("a", vec![Run::exits(secs(2), 0)]);
    world.script.runs.insert("b", vec![Run::exits(secs(1), 0)]);
    world.bind(pod(1, spec));
    world.run(secs(20));
    assert_eq!(
        lines(&world, &["start", "exit"]),
        ["start a#0", "exit a 0", "start b#0", "exit b 0", "start main#0"]
    );
    assert_eq!(
        lines(&world, &["status"]).last(),
        Some(&"status pod-1 Running ready a=Completed(0)/0 b=Completed(0)/0 main=Running/0+r")
    );
    assert!(!lines(&world, &["status pod-1 Pending a=Running/0+s b=PodInitializing/0"]).is_empty());
}

#[test]
fn an_init_container_that_fails_ends_a_pod_that_is_never_restarted() {
    let mut world = World::new(with_images());
    let spec = PodSpec {
        init_containers: Box::new([container("a")]),
        restart_policy: RestartPolicy::Never,
        ..plain()
    };
    world.script.runs.insert("a", vec![Run::exits(secs(1), 2)]);
    world.bind(pod(1, spec));
    world.run(secs(20));
    assert_eq!(world.phase(1), PodPhase::Failed);
    assert_eq!(lines(&world, &["start"]), ["start a#0"]);
}

#[test]
fn an_init_container_that_fails_is_tried_again_with_back_off() {
    let mut world = World::new(with_images());
    let spec = PodSpec { init_containers: Box::new([container("a")]), ..plain() };
    world
        .script
        .runs
        .insert("a", vec![Run::exits(secs(1), 2), Run::exits(secs(1), 2), Run::exits(secs(1), 0)]);
    world.bind(pod(1, spec));
    world.run(secs(40));
    assert_eq!(lines(&world, &["start"]), ["start a#0", "start a#1", "start a#2", "start main#0"]);
    assert_eq!(world.phase(1), PodPhase::Running);
}

#[test]
fn a_sidecar_starts_before_and_stops_after_the_main_containers() {
    let mut world = World::new(with_images());
    let spec = PodSpec { init_containers: Box::new([sidecar("s1"), sidecar("s2")]), ..plain() };
    world.bind(pod(1, spec));
    world.at(secs(10), Action::Delete(1, 30));
    world.run(secs(20));
    assert_eq!(
        lines(&world, &["start", "stop", "exit"]),
        [
            "start s1#0",
            "start s2#0",
            "start main#0",
            "stop main 30",
            "exit main 143",
            "stop s2 30",
            "exit s2 143",
            "stop s1 30",
            "exit s1 143",
            "stop sandbox",
        ]
    );
}

#[test]
fn a_job_with_a_sidecar_completes_when_its_main_container_does() {
    let mut world = World::new(with_images());
    let spec = PodSpec {
        init_containers: Box::new([sidecar("s")]),
        restart_policy: RestartPolicy::OnFailure,
        ..plain()
    };
    world.script.runs.insert("main", vec![Run::exits(secs(3), 0)]);
    world.bind(pod(1, spec));
    world.run(secs(20));
    assert_eq!(world.phase(1), PodPhase::Succeeded);
    assert_eq!(lines(&world, &["stop"]), ["stop s 30", "stop sandbox"]);
}

#[test]
fn a_sidecar_that_dies_is_restarted_while_the_pod_runs() {
    let mut world = World::new(with_images());
    let spec = PodSpec {
        init_containers: Box::new([sidecar("s")]),
        restart_policy: RestartPolicy::Never,
        ..plain()
    };
    world.script.runs.insert("s", vec![Run::exits(secs(5), 1), Run::FOREVER]);
    world.bind(pod(1, spec));
    world.run(secs(20));
    assert_eq!(
        lines(&world, &["status"]).last(),
        Some(&"status pod-1 Running ready s=Running/1+r main=Running/0+r")
    );
}

#[test]
fn a_pod_is_ready_when_its_readiness_probe_passes() {
    let mut world = World::new(with_images());
    let mut spec = plain();
    spec.containers[0].readiness_probe = probe();
    let outcomes = Outcomes(vec![(secs(0), false), (secs(12), true)]);
    world.script.probes.insert(("main", ProbeKind::Readiness), outcomes);
    // A kubelet that has just started waits for a while before it probes.
    world.run(secs(15));
    world.bind(pod(1, spec));
    world.run(secs(60));
    let begun = world.lines("start main")[0].0;
    let times: Vec<_> = world.lines("probe main Readiness").iter().map(|line| line.0 - begun).collect();
    assert!(times[0] < 100, "the first probe comes at once: {times:?}");
    assert!(times[1] < 1_100, "one more when the runtime is listed: {times:?}");
    assert_eq!(times[2] - times[1], 10_000, "{times:?}");
    let ready = world.lines("Running ready")[0].0 - begun;
    assert!((20_000..21_200).contains(&ready), "{ready}");
}

#[test]
fn a_probe_whose_outcome_lasts_is_played_once() {
    let mut world = World::new(with_images());
    world.script.steady = true;
    let mut spec = plain();
    spec.containers[0].readiness_probe = probe();
    spec.containers[0].liveness_probe = probe();
    world.bind(pod(1, spec));
    world.run(secs(30));
    assert!(world.pod(1).is_ready());
    let inputs = world.inputs;
    world.run(secs(3_600));
    assert_eq!(world.inputs, inputs, "a healthy pod costs nothing");
    assert_eq!(lines(&world, &["probe"]).len(), 2);

    world.script.probes.insert(("main", ProbeKind::Readiness), Outcomes(vec![(secs(0), false)]));
    let container = ContainerId { pod: 1, index: 0, attempt: 0 };
    world.report(ms(1), RuntimeReport::ProbeChanged { container, kind: ProbeKind::Readiness });
    let changed_at = world.now;
    world.run(secs(60));
    let unready = world.lines("status pod-1 Running main=Running/0+s").last().map(|line| line.0).unwrap_or(0);
    let after = unready - changed_at.nanos() / 1_000_000;
    assert!((20_000..30_100).contains(&after), "three failures ten seconds apart: {after}");
    assert_eq!(lines(&world, &["probe"]).len(), 3, "the lasting failure is played once as well");
}

#[test]
fn the_offset_of_probes_belongs_to_the_pods_name() {
    // Soon after its start a kubelet spreads the first probes of a pod over their period.
    let first_probe = |row: u32, name: &str| {
        let mut world = World::new(with_images());
        let mut spec = plain();
        spec.containers[0].liveness_probe =
            probe().map(|probe| Box::new(Probe { period_seconds: 600, ..*probe }));
        let mut pod = Arc::unwrap_or_clone(pod(row, spec));
        pod.meta.name = name.into();
        world.bind(Arc::new(pod));
        world.run(secs(700));
        world.lines("probe main Liveness")[0].0
    };
    assert_eq!(first_probe(1, "web-0"), first_probe(9, "web-0"), "whatever else was created before");
    assert_ne!(first_probe(1, "web-0"), first_probe(1, "web-1"));
}

#[test]
fn a_container_that_fails_its_liveness_probe_is_restarted_at_once() {
    let mut world = World::new(with_images());
    let mut spec = plain();
    spec.containers[0].liveness_probe = probe();
    let outcomes = Outcomes(vec![(secs(0), true), (secs(15), false)]);
    world.script.probes.insert(("main", ProbeKind::Liveness), outcomes);
    world.bind(pod(1, spec));
    world.run(secs(45));
    assert_eq!(
        lines(&world, &["start", "stop", "exit", "event Killing"])[..5],
        [
            "start main#0",
            "event Killing Container main failed liveness probe, will be restarted",
            "stop main 30",
            "exit main 143",
            "start main#1",
        ]
    );
    assert_eq!(lines(&world, &["event Unhealthy"]).len(), 3);
}

#[test]
fn other_probes_wait_for_the_startup_probe() {
    let mut world = World::new(with_images());
    let mut spec = plain();
    spec.containers[0].startup_probe = probe();
    spec.containers[0].readiness_probe = probe();
    let outcomes = Outcomes(vec![(secs(0), false), (secs(8), true)]);
    world.script.probes.insert(("main", ProbeKind::Startup), outcomes);
    world.run(secs(20));
    world.bind(pod(1, spec));
    world.run(secs(30));
    assert_eq!(lines(&world, &["probe"])[..2], ["probe main Startup true", "probe main Readiness true"]);
    assert_eq!(lines(&world, &["status"]).last(), Some(&"status pod-1 Running ready main=Running/0+r"));
}

#[test]
fn a_container_that_never_passes_its_startup_probe_is_restarted() {
    let mut world = World::new(with_images());
    let mut spec = plain();
    spec.containers[0].startup_probe = probe();
    world.script.probes.insert(("main", ProbeKind::Startup), Outcomes(vec![(secs(0), false)]));
    world.bind(pod(1, spec));
    world.run(secs(45));
    assert_eq!(lines(&world, &["start"])[..2], ["start main#0", "start main#1"]);
    assert!(!world.pod(1).is_ready());
}

#[test]
fn an_image_that_cannot_be_pulled_is_tried_again_with_back_off() {
    let mut world = World::new(KubeletConfig::default());
    world.script.failing_pulls.insert("app:1", 3);
    world.bind(pod(1, plain()));
    world.run(secs(200));
    let pulls: Vec<_> = world.lines("pull app:1").iter().map(|line| line.0 - 3_000).collect();
    assert_eq!(pulls.len(), 4, "{pulls:?}");
    for (pair, range) in pulls.windows(2).zip([10_000..17_000, 20_000..37_000, 40_000..62_000]) {
        assert!(range.contains(&(pair[1] - pair[0])), "{pulls:?}");
    }
    assert!(world.lines("ErrImagePull/0").len() + world.lines("ImagePullBackOff/0").len() >= 2);
    assert!(world.pod(1).is_ready());
}

#[test]
fn pulls_of_one_node_wait_for_each_other_and_a_pulled_image_is_kept() {
    let mut world = World::new(KubeletConfig::default());
    world.script.pull = secs(4);
    for id in 1..=2 {
        let mut spec = plain();
        spec.containers[0].image = if id == 1 { "app:1".into() } else { "other:1".into() };
        world.bind(pod(id, spec));
    }
    world.at(secs(20), Action::Bind(pod(3, plain())));
    world.run(secs(30));
    let pulls: Vec<_> = world.lines("pull ").iter().map(|line| line.0 - 3_000).collect();
    assert_eq!(pulls.len(), 2);
    assert!(pulls[1] - pulls[0] >= 4_000, "{pulls:?}");
    assert!(world.pod(3).is_ready());
}

#[test]
fn an_image_that_must_not_be_pulled_and_is_not_there_fails() {
    let mut world = World::new(KubeletConfig::default());
    let mut spec = plain();
    spec.containers[0].pull_policy = PullPolicy::Never;
    world.bind(pod(1, spec));
    world.run(secs(20));
    assert!(!lines(&world, &["status pod-1 Pending main=ErrImageNeverPull/0"]).is_empty());
}

fn config_map(name: &str) -> Object {
    Object::ConfigMap(Arc::new(ConfigMap {
        meta: ObjectMeta::named("default", name),
        data: vec![("key".into(), "value".into())],
        immutable: false,
    }))
}

#[test]
fn a_volume_waits_for_its_config_map_with_back_off() {
    let mut world = World::new(with_images());
    let mut spec = plain();
    let source = VolumeSource::ConfigMap { name: "settings".into(), optional: false };
    spec.volumes = Box::new([Volume { name: "v".into(), source }]);
    spec.containers[0].mounts = Box::new(["v".into()]);
    world.bind(pod(1, spec));
    world.at(secs(5), Action::Observe(config_map("settings")));
    world.run(secs(20));
    let mounted = world.lines("mount")[0].0 - 3_000;
    assert!((7_400..7_600).contains(&mounted), "retries at 0.5, 1.5, 3.5 and 7.5 s: {mounted}");
    assert!(world.pod(1).is_ready());
}

#[test]
fn a_deletion_interrupts_the_wait_for_a_volume() {
    let mut world = World::new(with_images());
    let mut spec = plain();
    let source = VolumeSource::Secret { name: "missing".into(), optional: false };
    spec.volumes = Box::new([Volume { name: "v".into(), source }]);
    spec.containers[0].mounts = Box::new(["v".into()]);
    world.bind(pod(1, spec));
    world.at(secs(5), Action::Delete(1, 30));
    world.run(secs(10));
    assert!(world.pods.is_empty());
    assert_eq!(
        lines(&world, &["status"]).last(),
        Some(&"status pod-1 Failed main=ContainerStatusUnknown(137)/0")
    );
}

#[test]
fn an_environment_from_a_missing_config_map_holds_its_container_back() {
    let mut world = World::new(with_images());
    let mut spec = plain();
    let reference =
        ConfigRef { secret: false, name: "settings".into(), key: Some("key".into()), optional: false };
    spec.containers[0].env_refs = Box::new([reference]);
    world.bind(pod(1, spec));
    world.at(secs(5), Action::Observe(config_map("settings")));
    world.run(secs(30));
    assert!(!lines(&world, &["status pod-1 Pending main=CreateContainerConfigError/0"]).is_empty());
    assert!(world.pod(1).is_ready());
}

#[test]
fn a_sandbox_that_cannot_be_made_is_tried_again() {
    let mut world = World::new(with_images());
    world.script.failing_sandboxes = 2;
    world.bind(pod(1, plain()));
    world.run(secs(40));
    assert_eq!(lines(&world, &["sandbox"]).len(), 3);
    assert!(world.pod(1).is_ready());
}

#[test]
fn a_changed_image_restarts_the_container_whatever_the_policy() {
    let mut world = World::new(with_images());
    world.bind(pod(1, PodSpec { restart_policy: RestartPolicy::Never, ..plain() }));
    world.at(secs(5), Action::Image(1, "app:2"));
    world.run(secs(20));
    assert_eq!(lines(&world, &["start"]), ["start main#0", "start main#1"]);
    assert!(world.pod(1).is_ready());
}

#[test]
fn a_hook_after_the_start_holds_back_the_next_container() {
    let mut world = World::new(with_images());
    let mut first = container("first");
    first.post_start = Some(HandlerAction::Sleep(3));
    world.script.post_start = secs(3);
    world.bind(pod(1, PodSpec::new(vec![first, container("second")])));
    world.run(secs(10));
    let starts: Vec<_> = world.lines("start ").iter().map(|line| line.0).collect();
    assert!(starts[1] - starts[0] >= 3_000);
    assert!(world.lines("Running").iter().all(|line| line.0 >= starts[1]));
}

#[test]
fn a_container_that_does_not_stop_is_killed_at_the_end_of_its_grace() {
    let mut world = World::new(with_images());
    let term = Term { after: secs(100), code: 0 };
    world.script.runs.insert("main", vec![Run { term, ..Run::FOREVER }]);
    world.bind(pod(1, plain()));
    world.at(secs(5), Action::Delete(1, 7));
    world.run(secs(20));
    let stop = world.lines("stop main 7")[0].0;
    assert_eq!(world.lines("exit main 137")[0].0 - stop, 7_000);
}
