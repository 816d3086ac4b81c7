//! Extenders are asked as upstream asks them.

use std::sync::{Arc, Mutex};

use crate::rig::{Rig, node, pod, pod_with};
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::PodReason;
use seatrial_api::units::{SimTime, Span};
use seatrial_scheduler::config::{ExtenderConfiguration, SchedulerConfiguration, TieBreak};
use seatrial_scheduler::extender::{ExtenderCalls, ExtenderClient};

/// Answers by a table of verbs, and notes what it was asked.
#[derive(Debug, Default)]
struct Scripted {
    answers: Vec<(&'static str, Result<&'static str, &'static str>)>,
    asked: Mutex<Vec<(String, String)>>,
}

impl ExtenderClient for Scripted {
    fn post(&self, address: &str, body: &str, timeout: Span) -> Result<String, String> {
        assert_eq!(timeout, Span::from_secs(5));
        self.asked.lock().unwrap().push((address.to_owned(), body.to_owned()));
        let verb = address.rsplit('/').next().unwrap();
        let answer = self.answers.iter().find(|(known, _)| *known == verb);
        answer.expect("a known verb").1.map(str::to_owned).map_err(str::to_owned)
    }
}

fn extender() -> ExtenderConfiguration {
    ExtenderConfiguration {
        url: "http://x/base/".into(),
        filter_verb: Default::default(),
        preempt_verb: Default::default(),
        prioritize_verb: Default::default(),
        bind_verb: Default::default(),
        weight: 2,
        timeout: Span::from_secs(5),
        node_cache_capable: true,
        managed_resources: Vec::new(),
        is_ignorable: false,
    }
}

fn rig(
    extender: ExtenderConfiguration,
    answers: &[(&'static str, Result<&'static str, &'static str>)],
) -> (Rig, Arc<Scripted>) {
    let client = Arc::new(Scripted { answers: answers.to_vec(), asked: Mutex::default() });
    let mut rig = Rig::new(SchedulerConfiguration {
        extenders: vec![extender],
        extender_calls: ExtenderCalls(Some(client.clone())),
        ties: TieBreak::First,
        ..SchedulerConfiguration::default()
    });
    for name in ["n1", "n2", "n3"] {
        rig.add_node(node(name, 4000, 8));
    }
    (rig, client)
}

#[test]
fn without_somebody_who_calls_a_configuration_with_extenders_is_refused() {
    let configuration =
        SchedulerConfiguration { extenders: vec![extender()], ..SchedulerConfiguration::default() };
    let refused = seatrial_scheduler::Scheduler::new(configuration).err().map(|error| error.to_string());
    assert_eq!(refused.as_deref(), Some("extenders: nobody carries calls to extenders out"));
}

#[test]
fn nodes_are_filtered_and_scored_by_it() {
    let extender =
        ExtenderConfiguration { filter_verb: "filter".into(), prioritize_verb: "rank".into(), ..extender() };
    let (mut rig, client) = rig(
        extender,
        &[
            ("filter", Ok(r#"{"nodenames": ["n2", "n3"], "FailedNodes": {"n1": "too old"}}"#)),
            ("rank", Ok(r#"[{"Host": "n2", "Score": 1}, {"Host": "n3", "Score": 9}]"#)),
        ],
    );
    rig.add_pod(pod("a", 100));
    rig.settle(SimTime::from_secs(1));
    assert_eq!(rig.node_of("a"), Some("n3"));
    let asked = client.asked.lock().unwrap();
    let addresses: Vec<&str> = asked.iter().map(|(address, _)| address.as_str()).collect();
    assert_eq!(addresses, ["http://x/base/filter", "http://x/base/rank"]);
    assert!(asked[0].1.starts_with(r#"{"Pod":{"metadata":{"name":"a","#), "{}", asked[0].1);
    assert!(asked[0].1.contains(r#""resources":{"requests":{"cpu":"100m","memory":"1048576"},"limits":{}}"#));
    assert!(asked[0].1.ends_with(r#""Nodes":null,"NodeNames":["n1","n2","n3"]}"#), "{}", asked[0].1);
    assert!(asked[1].1.ends_with(r#""NodeNames":["n2","n3"]}"#), "{}", asked[1].1);
}

#[test]
fn what_it_rejects_is_told_and_nodes_are_sent_whole_if_it_has_no_cache() {
    let extender =
        ExtenderConfiguration { filter_verb: "filter".into(), node_cache_capable: false, ..extender() };
    let answer = r#"{"Nodes": {"items": []}, "FailedNodes": {"n1": "no", "n2": "no", "n3": "never"}}"#;
    let (mut rig, client) = rig(extender, &[("filter", Ok(answer))]);
    rig.add_pod(pod("a", 100));
    rig.settle(SimTime::from_secs(1));
    assert_eq!(rig.reason_of("a"), PodReason::Unschedulable);
    let text = rig.pod("a").status.text.as_ref().unwrap().scheduling.to_string();
    assert!(text.starts_with("0/3 nodes are available: 1 never, 2 no. "), "{text}");
    let asked = client.asked.lock().unwrap();
    assert!(
        asked[0].1.contains(r#""Nodes":{"metadata":{},"items":[{"metadata":{"name":"n1""#),
        "{}",
        asked[0].1
    );
}

#[test]
fn no_answer_is_an_error_unless_it_can_be_ignored() {
    for (is_ignorable, node, reason) in
        [(false, None, PodReason::SchedulerError), (true, Some("n1"), PodReason::None)]
    {
        let extender = ExtenderConfiguration { filter_verb: "filter".into(), is_ignorable, ..extender() };
        let (mut rig, _) = rig(extender, &[("filter", Err("connection refused"))]);
        rig.add_pod(pod("a", 100));
        rig.settle(SimTime::from_secs(1));
        assert_eq!((rig.node_of("a"), rig.reason_of("a")), (node, reason), "ignorable: {is_ignorable}");
    }
}

#[test]
fn a_pod_without_its_resource_is_none_of_its_business() {
    let managed = seatrial_scheduler::config::ManagedResource {
        name: "example.com/gpu".into(),
        ignored_by_scheduler: true,
    };
    let extender = ExtenderConfiguration {
        filter_verb: "filter".into(),
        managed_resources: vec![managed],
        ..extender()
    };
    let (mut rig, client) = rig(extender, &[("filter", Ok(r#"{"NodeNames": ["n2"]}"#))]);
    rig.add_pod(pod("a", 3000));
    rig.add_pod(pod_with("gpu", 100, |spec| {
        spec.containers[0].requests.scalars =
            seatrial_api::resources::Scalars::new([("example.com/gpu".into(), 1)].into_iter().collect());
    }));
    rig.settle(SimTime::from_secs(1));
    assert_eq!((rig.node_of("a"), rig.node_of("gpu")), (Some("n1"), Some("n2")));
    assert_eq!(client.asked.lock().unwrap().len(), 1, "it is asked about one pod");
}

#[test]
fn it_chooses_the_victims_and_whether_a_pod_is_bound() {
    let extender =
        ExtenderConfiguration { preempt_verb: "preempt".into(), bind_verb: "bind".into(), ..extender() };
    let keep_n2 =
        r#"{"NodeNameToMetaVictims": {"n2": {"Pods": [{"UID": "00000000-0000-0000-0000-000000000002"}]}}}"#;
    let (mut rig, client) = rig(extender, &[("preempt", Ok(keep_n2)), ("bind", Ok(r#"{"Error": ""}"#))]);
    for name in ["low1", "low2", "low3"] {
        rig.add_pod(pod(name, 3000));
        rig.settle(rig.now + Span::from_secs(1));
    }
    assert_eq!(rig.node_of("low2"), Some("n2"));
    rig.add_pod(pod_with("high", 3000, |spec| spec.priority = Some(100)));
    rig.settle(rig.now + Span::from_secs(1));
    assert_eq!(rig.deleted, [2], "the extender keeps one candidate of three");
    rig.finish_deletion(ObjectRef { kind: Kind::Pod, id: 2 });
    rig.settle(rig.now + Span::from_secs(5));
    assert_eq!(rig.node_of("high"), Some("n2"));
    let asked = client.asked.lock().unwrap();
    let binds = asked.iter().filter(|(address, _)| address.ends_with("/bind")).count();
    assert_eq!(binds, 4);
    let preempt = asked.iter().find(|(address, _)| address.ends_with("/preempt")).unwrap();
    for part in [r#""NodeNameToMetaVictims":{"#, r#""n1":{"Pods":[{"UID":"#] {
        assert!(preempt.1.contains(part), "{}", preempt.1);
    }
}
