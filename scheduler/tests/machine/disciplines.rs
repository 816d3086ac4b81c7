//! In which order waiting pods are tried.

use crate::rig::{GIBIBYTE, Rig, node, pod_with};
use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::{OwnerRef, Uid};
use seatrial_api::pod::{Pod, PodPhase, PodSpec};
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::config::{QueueDiscipline, RunTimeEstimate};
use seatrial_scheduler::policies;

fn sized(name: &str, cpu: i64, memory_gib: i64) -> Pod {
    let mut container = Container::new("c", "app:1");
    container.requests.cpu = Some(MilliCpu(cpu));
    container.requests.memory = Some(Bytes(memory_gib * GIBIBYTE));
    pod_with(name, 0, |spec| *spec = PodSpec::new(vec![container]))
}

fn by(discipline: QueueDiscipline) -> SchedulerConfiguration {
    let mut configuration = SchedulerConfiguration::default();
    configuration.queue.discipline = discipline;
    configuration
}

fn labelled(mut pod: Pod, key: &str, value: &str) -> Pod {
    pod.meta.labels = Labels::of(&[(key, value)]);
    pod
}

fn annotated(mut pod: Pod, run_time: &str) -> Pod {
    pod.meta.annotations = Labels::of(&[("seatrial.dev/expected-run-time", run_time)]);
    pod
}

fn owned(mut pod: Pod, owner: u64) -> Pod {
    let owner = OwnerRef {
        kind: Symbol::new("Job"),
        api_version: Symbol::new("batch/v1"),
        name: "job".into(),
        uid: Uid::from_bits(7, owner),
        controller: true,
        block_owner_deletion: true,
    };
    pod.meta.owners = Some(std::sync::Arc::new(vec![owner]));
    pod
}

/// Pods in the order in which they were bound.
fn order(rig: &Rig, names: &[&str]) -> Vec<String> {
    let mut bound: Vec<&str> = names.iter().copied().filter(|name| rig.node_of(name).is_some()).collect();
    bound.sort_by_key(|name| rig.bound_at(name));
    bound.into_iter().map(str::to_owned).collect()
}

#[test]
fn each_discipline_has_its_order() {
    let rows: [(QueueDiscipline, [&str; 4]); 3] = [
        (QueueDiscipline::Priority, ["vip", "long", "short", "unknown"]),
        (QueueDiscipline::Fifo, ["long", "short", "unknown", "vip"]),
        (QueueDiscipline::ShortestJobFirst, ["short", "vip", "long", "unknown"]),
    ];
    for (discipline, expected) in rows {
        let mut configuration = by(discipline);
        configuration.queue.run_times = vec![RunTimeEstimate {
            namespace: None,
            selector: Selector::of_labels(&Labels::of(&[("app", "long")])),
            run_time: Span::from_mins(30),
        }];
        let mut rig = Rig::new(configuration);
        rig.add_node(node("n", 4000, 8));
        rig.add_pod(labelled(sized("long", 100, 0), "app", "long"));
        rig.add_pod(annotated(sized("short", 100, 0), "20s"));
        rig.add_pod(sized("unknown", 100, 0));
        // The annotation says more than the estimate that selects it, too.
        let vip = annotated(labelled(sized("vip", 100, 0), "app", "long"), "10m");
        let mut spec = PodSpec::clone(&vip.spec);
        spec.priority = Some(1000);
        rig.add_pod(Pod { spec: std::sync::Arc::new(spec.sealed()), ..vip });
        rig.settle(SimTime::from_secs(5));
        assert_eq!(order(&rig, &["long", "short", "unknown", "vip"]), expected, "{discipline:?}");
    }
}

/// A. Ghodsi, M. Zaharia, B. Hindman, A. Konwinski, S. Shenker, I. Stoica, "Dominant Resource
/// Fairness", NSDI 2011, section 4.1: of 9 CPU and 18 GB, one user's tasks of 1 CPU and 4 GB get
/// room for three, the other's of 3 CPU and 1 GB for two.
#[test]
fn dominant_shares_are_as_in_the_paper() {
    for by_label in [false, true] {
        let mut rig = Rig::new(by(QueueDiscipline::DominantResourceFairness));
        rig.add_node(node("n", 9000, 18));
        for index in 0..6 {
            for (user, cpu, memory) in [("a", 1000, 4), ("b", 3000, 1)] {
                let mut pod = sized(&format!("{user}-{index}"), cpu, memory);
                match by_label {
                    true => pod = labelled(pod, "kueue.x-k8s.io/queue-name", user),
                    false => pod.meta.namespace = Symbol::new(user),
                }
                rig.add_pod(pod);
            }
        }
        rig.settle(SimTime::from_secs(10));
        let placed =
            |user: &str| (0..6).filter(|index| rig.node_of(&format!("{user}-{index}")).is_some()).count();
        assert_eq!((placed("a"), placed("b")), (3, 2));
    }
}

/// A queue that gives room back is served again.
#[test]
fn shares_fall_when_pods_end() {
    let mut rig = Rig::new(by(QueueDiscipline::DominantResourceFairness));
    rig.add_node(node("n", 4000, 64));
    let user = |user: &str, index: usize| {
        let mut pod = sized(&format!("{user}-{index}"), 1000, 1);
        pod.meta.namespace = Symbol::new(user);
        pod
    };
    (0..4).for_each(|index| rig.add_pod(user("a", index)));
    rig.settle(SimTime::from_secs(1));
    (0..4).for_each(|index| rig.add_pod(user("b", index)));
    (4..6).for_each(|index| rig.add_pod(user("a", index)));
    rig.settle(SimTime::from_secs(2));
    for index in 0..4 {
        rig.update_pod(&format!("a-{index}"), |pod| pod.status.phase = PodPhase::Succeeded);
    }
    rig.settle(SimTime::from_secs(60));
    let placed = |user: &str, indices: std::ops::Range<usize>| {
        indices.filter(|index| rig.node_of(&format!("{user}-{index}")).is_some()).count()
    };
    assert_eq!((placed("a", 4..6), placed("b", 0..4)), (2, 2), "both hold as much");
}

#[test]
fn tetris_prefers_jobs_with_little_work_left_among_those_that_align_alike() {
    let tetris = policies::find("tetris").expect("a policy").configuration();
    let mut rig = Rig::new(tetris);
    rig.add_node(node("n", 1000, 8));
    // Pods alike, but the first job has four of them, the second one, the third a short one.
    for index in 0..4 {
        rig.add_pod(annotated(owned(sized(&format!("large-{index}"), 1000, 1), 1), "60s"));
    }
    rig.add_pod(annotated(owned(sized("small", 1000, 1), 2), "60s"));
    rig.add_pod(annotated(owned(sized("short", 1000, 1), 3), "10s"));
    let names = ["large-0", "large-1", "large-2", "large-3", "small", "short"];
    for second in 1..=6 {
        rig.settle(SimTime::from_secs(100 * second));
        for name in names {
            if rig.node_of(name).is_some() && rig.pod(name).status.phase != PodPhase::Succeeded {
                rig.update_pod(name, |pod| pod.status.phase = PodPhase::Succeeded);
            }
        }
    }
    assert_eq!(order(&rig, &names)[..3], ["short", "small", "large-0"]);
}

#[test]
fn tetris_prefers_what_aligns_better_though_it_is_more_work() {
    let tetris = policies::find("tetris").expect("a policy").configuration();
    let mut rig = Rig::new(tetris);
    rig.add_node(node("n", 4000, 8));
    // a = 1/4 + 1/8, p = 60 s × 3/8 = 22.5; a = 3/4 + 6/8, p = 50 s × 6/4 = 75. ε = 1.875 / 97.5, so
    // 0.375 − 0.433 against 1.5 − 1.442.
    rig.add_pod(annotated(owned(sized("small", 1000, 1), 1), "60s"));
    rig.add_pod(annotated(owned(sized("large", 3000, 6), 2), "50s"));
    rig.settle(SimTime::from_secs(5));
    assert_eq!(order(&rig, &["small", "large"]), ["large", "small"]);
}

/// Whatever comes and goes, the sums behind the lines come back to nothing.
#[test]
fn every_discipline_places_whatever_fits_in_random_histories() {
    let disciplines = [
        QueueDiscipline::Priority,
        QueueDiscipline::Fifo,
        QueueDiscipline::ShortestJobFirst,
        QueueDiscipline::DominantResourceFairness,
        QueueDiscipline::Tetris,
    ];
    for (seed, discipline) in (0..20).flat_map(|seed| disciplines.map(|discipline| (seed, discipline))) {
        let mut stream = Stream::new(seed, 0, 3);
        let mut rig = Rig::new(by(discipline));
        rig.add_node(node("a", 4000, 8));
        rig.add_node(node("b", 8000, 8));
        let mut names: Vec<String> = Vec::new();
        for step in 0..60 {
            let random = |stream: &mut Stream, below: u64| stream.below(below) as usize;
            if random(&mut stream, 3) > 0 || names.is_empty() {
                let name = format!("pod-{step}");
                let mut pod = sized(&name, 100 * (1 + stream.below(20) as i64), stream.below(3) as i64);
                pod = owned(pod, stream.below(5));
                pod.meta.namespace = Symbol::new(["x", "y", "z"][random(&mut stream, 3)]);
                if random(&mut stream, 2) == 0 {
                    pod = annotated(pod, ["5s", "10m"][random(&mut stream, 2)]);
                }
                rig.add_pod(pod);
                names.push(name);
            } else {
                let name = names.swap_remove(random(&mut stream, names.len() as u64));
                rig.update_pod(&name, |pod| pod.status.phase = PodPhase::Succeeded);
            }
            rig.settle(SimTime::from_secs(20 * (step + 1)));
        }
        for name in &names {
            rig.update_pod(name, |pod| pod.status.phase = PodPhase::Succeeded);
        }
        rig.add_pod(sized("last", 4000, 4));
        rig.settle(SimTime::from_secs(10_000));
        assert!(rig.node_of("last").is_some(), "{discipline:?}, history {seed}");
    }
}
