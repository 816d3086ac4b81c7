//! Groups of pods are placed all together or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::rig::{Millis, Rig, node, pod};
use seatrial_api::document::{Diagnostics, DuplicateKeys, read_documents};
use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Object, Untyped};
use seatrial_api::pod::{Pod, PodPhase, PodReason};
use seatrial_api::request::Change;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::config::{Backfill, GangConfiguration, QueueDiscipline};

fn rig() -> Rig {
    rig_with(Backfill::Greedy)
}

fn rig_with(backfill: Backfill) -> Rig {
    let mut configuration = SchedulerConfiguration::default();
    configuration.queue.gangs = Some(GangConfiguration { backfill, ..GangConfiguration::default() });
    Rig::new(configuration)
}

/// A pod that says how long it runs.
fn lasting(mut pod: Pod, run_time: &str) -> Pod {
    pod.meta.annotations = Labels::of(&[("seatrial.dev/expected-run-time", run_time)]);
    pod
}

/// A PodGroup of `default` with these fields in its specification.
fn group(rig: &mut Rig, name: &str, spec: &str) {
    let text = format!("apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nspec: {spec}\n");
    let mut findings = Diagnostics::new();
    let content = read_documents("group", text.as_bytes(), DuplicateKeys::Refused, &mut findings).pop();
    let object = Untyped {
        meta: ObjectMeta::named("default", name),
        api_version: Symbol::new("scheduling.x-k8s.io/v1alpha1"),
        kind: Symbol::new("PodGroup"),
        content,
    };
    rig.watch(Change::Added, Object::Untyped(Arc::new(object)));
}

fn member(name: &str, cpu: i64, group: &str) -> Pod {
    let mut pod = pod(name, cpu);
    pod.meta.labels = Labels::of(&[("scheduling.x-k8s.io/pod-group", group)]);
    pod
}

fn placed(rig: &Rig, names: &[&str]) -> usize {
    names.iter().filter(|name| rig.node_of(name).is_some()).count()
}

#[test]
fn a_group_waits_until_it_fits_as_a_whole_and_others_pass_it() {
    let mut rig = rig();
    rig.add_node(node("a", 2000, 8));
    group(&mut rig, "g", "{minMember: 3}");
    let members = ["g-0", "g-1", "g-2"];
    for name in members {
        rig.add_pod(member(name, 1000, "g"));
    }
    rig.add_pod(pod("single", 1500));
    rig.settle(SimTime::from_secs(5));
    assert_eq!(placed(&rig, &members), 0, "two of three would fit");
    assert_eq!(rig.node_of("single"), Some("a"), "another pod is placed meanwhile");
    for name in members {
        assert_eq!(rig.reason_of(name), PodReason::Unschedulable);
    }
    let text = &rig.pod("g-0").status.text.as_ref().expect("a message").scheduling;
    assert!(text.starts_with("pod group default/g is placed as a whole or not at all"), "{text}");
    rig.add_node(node("b", 3000, 8));
    rig.settle(SimTime::from_secs(20));
    assert_eq!(placed(&rig, &members), 3);
    assert_eq!(rig.bound_at("g-0"), rig.bound_at("g-2"), "all are bound at once");
}

#[test]
fn a_group_is_not_tried_before_it_is_there() {
    let mut rig = rig();
    rig.add_node(node("a", 9000, 8));
    for name in ["g-0", "g-1"] {
        rig.add_pod(member(name, 1000, "g"));
    }
    rig.settle(SimTime::from_secs(5));
    assert_eq!((placed(&rig, &["g-0", "g-1"]), rig.attempts("g-0")), (0, 0), "nobody says how large it is");
    group(&mut rig, "g", "{minMember: 3}");
    rig.settle(SimTime::from_secs(10));
    assert_eq!(placed(&rig, &["g-0", "g-1"]), 0, "a pod is missing");
    rig.add_pod(member("g-2", 1000, "g"));
    rig.settle(SimTime::from_secs(15));
    assert_eq!(placed(&rig, &["g-0", "g-1", "g-2"]), 3);
    rig.add_pod(member("g-3", 1000, "g"));
    rig.update_pod("g-0", |pod| pod.status.phase = PodPhase::Failed);
    rig.add_pod(member("g-4", 1000, "g"));
    rig.settle(SimTime::from_secs(20));
    assert_eq!(
        placed(&rig, &["g-3", "g-4"]),
        2,
        "more pods, and one in place of a dead one, are placed singly"
    );
}

#[test]
fn room_is_held_no_longer_than_the_timeout() {
    let mut rig = rig();
    rig.add_node(node("a", 9000, 8));
    group(&mut rig, "g", "{minMember: 3, scheduleTimeoutSeconds: 0}");
    for name in ["g-0", "g-1", "g-2"] {
        rig.add_pod(member(name, 1000, "g"));
    }
    rig.add_pod(pod("single", 8500));
    rig.settle(SimTime::from_millis_for_test(900));
    assert_eq!(placed(&rig, &["g-0", "g-1", "g-2"]), 0, "a cycle takes longer than no time at all");
    assert_eq!(rig.node_of("single"), Some("a"), "the room was given back");
}

/// Of 4 CPU 3 are in use until 100 s, and a group wants all 4. A pod of 1 CPU that is over by then may
/// go first; one that is not would delay the group, which `Easy` does not let it do.
#[test]
fn a_reservation_is_not_delayed_by_those_who_pass() {
    for (backfill, expected) in [(Backfill::Greedy, (true, false)), (Backfill::Easy, (false, true))] {
        let mut rig = rig_with(backfill);
        rig.add_node(node("a", 4000, 8));
        rig.add_pod(lasting(pod("first", 3000), "100s"));
        rig.settle(SimTime::from_secs(1));
        group(&mut rig, "g", "{minMember: 2}");
        rig.add_pod(lasting(member("g-0", 2000, "g"), "60s"));
        rig.add_pod(lasting(member("g-1", 2000, "g"), "60s"));
        rig.settle(SimTime::from_secs(2));
        rig.add_pod(lasting(pod("long", 1000), "500s"));
        rig.settle(SimTime::from_secs(5));
        assert_eq!(rig.node_of("long").is_some(), expected.0, "{backfill:?}");
        rig.add_pod(lasting(pod("short", 1000), "50s"));
        rig.settle(SimTime::from_secs(10));
        assert_eq!(rig.node_of("short").is_some(), backfill == Backfill::Easy, "{backfill:?}");
        if backfill == Backfill::Easy {
            rig.settle(SimTime::from_secs(55));
            rig.update_pod("short", |pod| pod.status.phase = PodPhase::Succeeded);
        }
        rig.settle(SimTime::from_secs(101));
        rig.update_pod("first", |pod| pod.status.phase = PodPhase::Succeeded);
        rig.settle(SimTime::from_secs(130));
        assert_eq!(placed(&rig, &["g-0", "g-1"]) == 2, expected.1, "{backfill:?}");
        for name in ["g-0", "g-1", "long", "short"] {
            rig.update_pod(name, |pod| pod.status.phase = PodPhase::Succeeded);
        }
        rig.add_pod(pod("last", 4000));
        rig.settle(SimTime::from_secs(200));
        assert!(rig.node_of("last").is_some(), "{backfill:?}: no reservation outlives its group");
    }
}

#[test]
fn a_group_that_loses_a_pod_loses_its_reservation() {
    let mut rig = rig_with(Backfill::Easy);
    rig.add_node(node("a", 4000, 8));
    rig.add_pod(lasting(pod("first", 3000), "100s"));
    rig.settle(SimTime::from_secs(1));
    group(&mut rig, "g", "{minMember: 2}");
    rig.add_pod(lasting(member("g-0", 2000, "g"), "60s"));
    rig.add_pod(lasting(member("g-1", 2000, "g"), "60s"));
    rig.add_pod(lasting(pod("long", 1000), "500s"));
    rig.settle(SimTime::from_secs(10));
    assert_eq!(rig.node_of("long"), None);
    rig.update_pod("g-1", |pod| pod.status.phase = PodPhase::Failed);
    rig.settle(SimTime::from_secs(20));
    assert_eq!(rig.node_of("long"), Some("a"));
}

#[test]
fn without_gang_scheduling_the_label_means_nothing() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("a", 2000, 8));
    group(&mut rig, "g", "{minMember: 3}");
    for name in ["g-0", "g-1", "g-2"] {
        rig.add_pod(member(name, 1000, "g"));
    }
    rig.settle(SimTime::from_secs(5));
    assert_eq!(placed(&rig, &["g-0", "g-1", "g-2"]), 2);
}

/// A history of groups, single pods, nodes and deaths.
struct World {
    rig: Rig,
    stream: Stream,
    groups: BTreeMap<String, (usize, Vec<String>)>,
    /// Groups of which a pod died: of these a part may be left.
    bereaved: BTreeSet<String>,
    singles: Vec<String>,
    nodes: usize,
}

impl World {
    fn below(&mut self, limit: u64) -> usize {
        self.stream.below(limit) as usize
    }

    fn operate(&mut self, step: usize) {
        match self.below(8) {
            0 | 1 => {
                let name = format!("g{step}");
                let (min, size) = (1 + self.below(6), self.below(3));
                let object_first = self.below(2) == 0;
                if object_first {
                    group(&mut self.rig, &name, &format!("{{minMember: {min}}}"));
                }
                let members: Vec<String> = (0..min + size).map(|index| format!("{name}-{index}")).collect();
                for member_name in &members {
                    let cpu = 100 * (1 + self.below(20) as i64);
                    let run_time = ["5s", "30s", "10m"][self.below(3)];
                    self.rig.add_pod(lasting(member(member_name, cpu, &name), run_time));
                    if self.below(4) == 0 {
                        let now = self.rig.now;
                        self.rig.settle(
                            now + seatrial_api::units::Span::from_millis(self.stream.below(900) as i64),
                        );
                    }
                }
                if !object_first {
                    group(&mut self.rig, &name, &format!("{{minMember: {min}}}"));
                }
                self.groups.insert(name, (min, members));
            }
            2 | 3 => {
                let name = format!("single-{step}");
                let cpu = 100 * (1 + self.below(30) as i64);
                let pod = pod(&name, cpu);
                let pod =
                    if self.below(4) == 0 { pod } else { lasting(pod, ["5s", "30s", "10m"][self.below(3)]) };
                self.rig.add_pod(pod);
                self.singles.push(name);
            }
            4 if !self.singles.is_empty() => {
                let index = self.below(self.singles.len() as u64);
                let name = self.singles.swap_remove(index);
                self.rig.update_pod(&name, |pod| pod.status.phase = PodPhase::Succeeded);
            }
            5 => self.end_a_group(),
            6 => {
                // A pod of a group dies, whatever it does at that time.
                let names: Vec<String> = self.groups.keys().cloned().collect();
                if names.is_empty() {
                    return;
                }
                let name = names[self.below(names.len() as u64)].clone();
                let members = &mut self.groups.get_mut(&name).expect("it is there").1;
                if let Some(member) = members.pop() {
                    self.bereaved.insert(name);
                    self.rig.update_pod(&member, |pod| pod.status.phase = PodPhase::Failed);
                }
            }
            _ => {
                self.nodes += 1;
                let cpu = 1000 * (1 + self.below(4) as i64);
                self.rig.add_node(node(&format!("n{:02}", self.nodes), cpu, 64));
            }
        }
    }

    /// All pods of some group end.
    fn end_a_group(&mut self) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let name = names[self.below(names.len() as u64)].clone();
        let (_, members) = self.groups.remove(&name).expect("it is there");
        for member in members {
            self.rig.update_pod(&member, |pod| pod.status.phase = PodPhase::Succeeded);
        }
    }

    /// Of no group a part is bound.
    fn check(&self, context: &str) {
        for (name, (min, members)) in self.groups.iter().filter(|(name, _)| !self.bereaved.contains(*name)) {
            let bound = members.iter().filter(|member| self.rig.node_of(member).is_some()).count();
            assert!(bound == 0 || bound >= *min, "{context}: {bound} of {min} pods of {name} are bound");
        }
    }
}

#[test]
fn no_part_of_a_group_is_ever_bound_alone_and_nothing_waits_for_ever() {
    let disciplines = [
        QueueDiscipline::Priority,
        QueueDiscipline::Fifo,
        QueueDiscipline::DominantResourceFairness,
        QueueDiscipline::Tetris,
    ];
    for seed in 0..if std::env::var_os("SEATRIAL_FULL").is_some() { 2_000 } else { 200 } {
        let mut world = World {
            rig: rig(),
            stream: Stream::new(seed, 0, 11),
            groups: BTreeMap::new(),
            bereaved: BTreeSet::new(),
            singles: Vec::new(),
            nodes: 0,
        };
        let mut configuration = SchedulerConfiguration { seed, ..SchedulerConfiguration::default() };
        let backfill = [Backfill::Greedy, Backfill::Easy][world.below(2)];
        configuration.queue.gangs = Some(GangConfiguration { backfill, ..GangConfiguration::default() });
        configuration.queue.discipline = disciplines[world.below(4)];
        world.rig = Rig::new(configuration);
        for step in 0..40 {
            world.operate(step);
            world.check(&format!("history {seed}, step {step}"));
            let now = world.rig.now;
            let pause = seatrial_api::units::Span::from_millis(world.stream.below(4_000) as i64);
            world.rig.settle(now + pause);
            world.check(&format!("history {seed}, after step {step}"));
        }
        // With room for everybody nobody is left, but those whose group lost too many.
        for _ in 0..40 {
            world.nodes += 1;
            world.rig.add_node(node(&format!("n{:02}", world.nodes), 9000, 64));
        }
        let now = world.rig.now;
        world.rig.settle(now + seatrial_api::units::Span::from_mins(30));
        world.check(&format!("history {seed}, the end"));
        for name in &world.singles {
            assert!(world.rig.node_of(name).is_some(), "history {seed}: {name} waits for ever");
        }
        for (name, (_, members)) in world.groups.iter().filter(|(name, _)| !world.bereaved.contains(*name)) {
            for member in members {
                assert!(
                    world.rig.node_of(member).is_some(),
                    "history {seed}: {member} of {name} waits for ever"
                );
            }
        }
    }
}
