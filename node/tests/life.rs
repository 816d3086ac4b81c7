//! Plays of the kubelet with a scripted runtime: start, crash loop, stop, completion, restarts.

mod play;

use play::{Action, Run, Term, World, container, ms, pod, secs, with_images};
use seatrial_api::container::RestartPolicy;
use seatrial_api::pod::{PodPhase, PodSpec};

fn statuses(world: &World) -> Vec<&str> {
    world.lines("status").into_iter().map(|line| line.1.split_once(' ').map_or("", |parts| parts.1)).collect()
}

fn plain() -> PodSpec {
    PodSpec::new(vec![container("main")])
}

#[test]
fn a_pod_starts_and_becomes_ready() {
    let mut world = World::new(with_images());
    world.bind(pod(1, plain()));
    world.run(secs(5));
    assert_eq!(
        statuses(&world),
        [
            "pod-1 Pending main=ContainerCreating/0",
            "pod-1 Pending main=ContainerCreating/0",
            "pod-1 Running ready main=Running/0+r",
        ]
    );
    assert_eq!(world.pod(1).status.ip, 1_001);
    let inputs = world.inputs;
    world.run(secs(3_600));
    assert_eq!(world.inputs, inputs, "a healthy pod costs nothing");
}

#[test]
fn a_pod_that_completes_says_so_after_its_sandbox_is_gone() {
    let mut world = World::new(with_images());
    world.script.runs.insert("main", vec![Run::exits(secs(3), 0)]);
    world.bind(pod(1, PodSpec { restart_policy: RestartPolicy::Never, ..plain() }));
    world.run(secs(10));
    assert_eq!(
        statuses(&world)[2..],
        [
            "pod-1 Running ready main=Running/0+r",
            "pod-1 Running main=Completed(0)/0",
            "pod-1 Succeeded main=Completed(0)/0",
        ]
    );
    let exit = world.lines("exit")[0].0;
    let done = world.lines("Succeeded")[0].0;
    assert!((600..3_000).contains(&(done - exit)), "{exit} {done}");
}

#[test]
fn a_crashing_container_is_restarted_with_growing_waits() {
    let mut world = World::new(with_images());
    world.script.runs.insert("main", vec![Run::exits(secs(1), 1)]);
    world.bind(pod(1, plain()));
    world.run(secs(200));
    let exits: Vec<_> = world.lines("exit").iter().map(|line| line.0).collect();
    let starts: Vec<_> = world.lines("start main").iter().map(|line| line.0).collect();
    let waits: Vec<_> = starts[1..].iter().zip(&exits).map(|(start, exit)| start - exit).collect();
    for (wait, range) in waits.iter().zip([0..1_001, 10_000..16_001, 20_000..31_001, 40_000..61_001]) {
        assert!(range.contains(wait), "{waits:?}");
    }
    assert!(waits.len() >= 4, "{waits:?}");
    let line = world.lines("CrashLoopBackOff")[0].1;
    assert!(line.starts_with("status pod-1 Running main=CrashLoopBackOff/1"), "{line}");
    assert!(world.lines("event BackOff").len() >= 3);
}

#[test]
fn a_deleted_pod_gets_its_grace_and_then_goes() {
    let mut world = World::new(with_images());
    let term = Term { after: ms(1_500), code: 0 };
    world.script.runs.insert("main", vec![Run { term, ..Run::FOREVER }]);
    world.bind(pod(1, plain()));
    world.at(secs(5), Action::Delete(1, 30));
    world.run(secs(20));
    let order: Vec<_> =
        world.log.iter().skip_while(|line| line.0 < 8_000).map(|line| line.1.as_str()).collect();
    assert_eq!(
        order,
        [
            "event Killing Stopping container main",
            "stop main 30",
            "exit main 0",
            "stop sandbox",
            "status pod-1 Succeeded main=Completed(0)/0",
            "delete pod-1",
        ]
    );
    assert!(world.pods.is_empty());
    assert_eq!(world.kubelets.pod_count(), 0);
}

#[test]
fn a_pod_deleted_by_force_is_stopped_within_two_seconds() {
    let mut world = World::new(with_images());
    let term = Term { after: secs(60), code: 0 };
    world.script.runs.insert("main", vec![Run { term, ..Run::FOREVER }]);
    world.bind(pod(1, plain()));
    world.at(secs(5), Action::Delete(1, 0));
    world.run(secs(20));
    assert_eq!(world.lines("stop main").iter().map(|line| line.1).collect::<Vec<_>>(), ["stop main 2"]);
    assert_eq!(world.kubelets.pod_count(), 0);
}

#[test]
fn a_pod_that_does_not_fit_is_rejected() {
    let mut spec = plain();
    spec.containers[0].requests.cpu = Some(seatrial_api::units::MilliCpu(5_000));
    let mut world = World::new(with_images());
    world.bind(pod(1, spec));
    world.run(secs(5));
    assert_eq!(statuses(&world), ["pod-1 Failed OutOfcpu"]);
    let text = world.pod(1).status.text.as_ref().map(|text| text.message.to_string());
    assert_eq!(
        text.as_deref(),
        Some(
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 5000, used: 0, capacity: 4000"
        )
    );
}

#[test]
fn after_a_power_loss_everything_starts_anew_on_the_same_node() {
    let mut world = World::new(with_images());
    world.bind(pod(1, plain()));
    world.bind(pod(2, PodSpec { restart_policy: RestartPolicy::Never, ..plain() }));
    world.at(secs(10), Action::Crash);
    world.at(secs(70), Action::Boot);
    world.run(secs(100));
    assert_eq!(world.phase(1), PodPhase::Running);
    assert_eq!(world.pod(1).status.restarts(), 1);
    assert!(world.pod(1).is_ready());
    assert_eq!(world.phase(2), PodPhase::Failed);
}

#[test]
fn a_restarted_kubelet_leaves_running_pods_alone() {
    let mut world = World::new(with_images());
    world.bind(pod(1, plain()));
    world.at(secs(10), Action::StopKubelet);
    world.at(secs(20), Action::StartKubelet);
    world.run(secs(10));
    let before = world.log.len();
    world.run(secs(60));
    assert_eq!(world.log.len(), before, "{:?}", &world.log[before..]);
}

#[test]
fn an_active_deadline_fails_the_pod() {
    let mut world = World::new(with_images());
    world.bind(pod(1, PodSpec { active_deadline_seconds: Some(10), ..plain() }));
    world.run(secs(30));
    let failed = world.lines("DeadlineExceeded").last().map(|line| line.1.to_string());
    assert_eq!(failed.as_deref(), Some("status pod-1 Failed DeadlineExceeded main=Error(143)/0"));
    let stop = world.lines("stop main")[0].0;
    assert!((12_000..14_500).contains(&stop), "{stop}");
}
