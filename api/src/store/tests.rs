//! The store's rules, one story each.

use super::*;
use crate::config::Namespace;
use crate::container::Container;
use crate::labels::{Labels, Selector};
use crate::meta::{MetaExtra, ObjectMeta};
use crate::pod::{ConditionStatus, Pod, PodConditionType, PodPhase, PodReason, PodStatus};
use crate::policy::{PdbStatus, PodDisruptionBudget, UnhealthyPodEvictionPolicy};
use crate::request::{DeleteOptions, Patch, Propagation, Subresource};
use crate::workload::Job;

fn server() -> ApiServer {
    let mut server = ApiServer::new(KubernetesVersion::V1_36, 1);
    let namespace = Namespace { meta: ObjectMeta::named("", "shop"), ..Namespace::default() };
    server
        .handle(SimTime::ZERO, Request::Create(Object::Namespace(Arc::new(namespace))), &mut Vec::new())
        .unwrap();
    server
}

fn pod(name: &str) -> Object {
    let mut meta = ObjectMeta::named("shop", name);
    meta.labels = Labels::of(&[("app", "web")]);
    Object::Pod(Arc::new(Pod::new(meta, Arc::new(PodSpec::new(vec![Container::new("c", "app:1")]).sealed()))))
}

fn as_pod(object: &Object) -> &Arc<Pod> {
    Pod::of(object).expect("a pod")
}

/// A server, one bound running ready pod, and its reference.
fn running_pod() -> (ApiServer, ObjectRef) {
    let mut server = server();
    let mut events = Vec::new();
    let created = server.handle(SimTime::ZERO, Request::Create(pod("web-0")), &mut events).unwrap();
    let target = created.object_ref();
    server
        .handle(SimTime::ZERO, Request::Bind { pod: target.id, node: "node-1".into() }, &mut events)
        .unwrap();
    let mut status = PodStatus { phase: PodPhase::Running, ..PodStatus::default() };
    status.conditions.set(PodConditionType::Ready, ConditionStatus::True, PodReason::None, SimTime::ZERO);
    let patch = Request::Patch { target, patch: Patch::PodStatus(Box::new(status)) };
    server.handle(SimTime::ZERO, patch, &mut events).unwrap();
    (server, target)
}

#[test]
fn a_new_pod_gets_identity_version_priority_and_tolerations() {
    let mut server = server();
    let mut events = Vec::new();
    let created = server.handle(SimTime::from_secs(5), Request::Create(pod("web-0")), &mut events).unwrap();
    let pod = as_pod(&created);
    assert!(!pod.meta.uid.is_unset());
    assert_eq!(
        (pod.meta.generation, pod.meta.created, pod.meta.resource_version),
        (1, SimTime::from_secs(5), 2)
    );
    assert_eq!(pod.spec.priority, Some(0));
    assert_eq!(pod.spec.tolerations.len(), 2);
    assert_eq!(events.len(), 1);
    let again =
        server.handle(SimTime::ZERO, Request::Create(super::tests::pod("web-0")), &mut events).unwrap_err();
    assert_eq!(again.message, "pods \"web-0\" already exists");
}

#[test]
fn pods_of_one_template_share_the_admitted_specification() {
    let mut server = server();
    let Object::Pod(template) = pod("") else { unreachable!() };
    let mut make = || {
        let mut copy = Pod::clone(&template);
        copy.meta.extra = Some(Arc::new(MetaExtra { generate_name: "web-".into(), ..MetaExtra::default() }));
        let created =
            server.handle(SimTime::ZERO, Request::Create(Object::Pod(Arc::new(copy))), &mut Vec::new());
        as_pod(&created.unwrap()).clone()
    };
    let (first, second) = (make(), make());
    assert!(Arc::ptr_eq(&first.spec, &second.spec));
    assert_ne!(first.meta.name, second.meta.name);
    assert_eq!(first.meta.name.len(), "web-".len() + 5);
}

#[test]
fn a_missing_namespace_and_an_unknown_priority_class_are_refused() {
    let mut server = server();
    let mut object = pod("web-0");
    object.meta_mut().namespace = "gone".into();
    let error = server.handle(SimTime::ZERO, Request::Create(object), &mut Vec::new()).unwrap_err();
    assert_eq!(error.message, "namespaces \"gone\" not found");
    let Object::Pod(mut plain) = pod("web-0") else { unreachable!() };
    Arc::make_mut(&mut Arc::make_mut(&mut plain).spec).priority_class = "gold".into();
    let error =
        server.handle(SimTime::ZERO, Request::Create(Object::Pod(plain)), &mut Vec::new()).unwrap_err();
    assert_eq!(
        (error.reason, error.message.as_str()),
        (ErrorReason::Forbidden, "pods \"web-0\" is forbidden: no PriorityClass with name gold was found")
    );
}

#[test]
fn stale_writers_get_a_conflict_and_no_change_is_no_write() {
    let (mut server, target) = running_pod();
    let stored = server.get(target).unwrap().clone();
    let revision = server.revision();
    let mut events = Vec::new();
    let update = |object| Request::Update { object, subresource: Subresource::Status };
    server.handle(SimTime::ZERO, update(stored.clone()), &mut events).unwrap();
    assert_eq!((server.revision(), events.len()), (revision, 0));
    let mut stale = stored;
    stale.meta_mut().resource_version -= 1;
    let error = server.handle(SimTime::ZERO, update(stale), &mut events).unwrap_err();
    assert_eq!(error.reason, ErrorReason::Conflict);
}

#[test]
fn a_running_pod_has_its_grace_and_a_second_delete_can_only_shorten_it() {
    let (mut server, target) = running_pod();
    let mut events = Vec::new();
    let mut delete = |seconds: Option<i64>, at: i64| {
        let options = DeleteOptions { grace_period_seconds: seconds, ..DeleteOptions::default() };
        let reply = server.handle(SimTime::from_secs(at), Request::Delete { target, options }, &mut events);
        (
            reply.unwrap().meta().deletion().unwrap(),
            events.drain(..).map(|event| event.change).collect::<Vec<_>>(),
        )
    };
    let (deletion, changes) = delete(None, 10);
    assert_eq!((deletion.at, deletion.grace_seconds), (SimTime::from_secs(40), 30));
    assert_eq!(changes, [Change::Modified]);
    assert_eq!(delete(Some(60), 11).1, []);
    assert_eq!(delete(Some(5), 12).0.at, SimTime::from_secs(15), "counted from the first request");
    assert_eq!(delete(Some(0), 13).1, [Change::Modified, Change::Deleted]);
}

#[test]
fn a_pod_that_has_ended_or_was_never_bound_goes_at_once() {
    let mut server = server();
    let mut events = Vec::new();
    let created = server.handle(SimTime::ZERO, Request::Create(pod("web-0")), &mut events).unwrap();
    server.handle(SimTime::ZERO, Request::delete(created.object_ref()), &mut events).unwrap();
    assert_eq!(events.last().unwrap().change, Change::Deleted);
    assert_eq!(server.count(Kind::Pod), 0);
}

#[test]
fn a_finalizer_holds_the_object_until_it_is_taken_away() {
    let mut server = server();
    let mut object = pod("web-0");
    object.meta_mut().set_finalizers(vec!["example.com/hold".into()]);
    let mut events = Vec::new();
    let target = server.handle(SimTime::ZERO, Request::Create(object), &mut events).unwrap().object_ref();
    server.handle(SimTime::ZERO, Request::delete(target), &mut events).unwrap();
    assert!(server.get(target).unwrap().meta().is_deleting());
    let patch = Patch::AddFinalizers(vec!["example.com/more".into()]);
    let refused = server.handle(SimTime::ZERO, Request::Patch { target, patch }, &mut events).unwrap_err();
    assert_eq!(refused.reason, ErrorReason::Invalid);
    let patch = Patch::RemoveFinalizers(vec!["example.com/hold".into()]);
    server.handle(SimTime::ZERO, Request::Patch { target, patch }, &mut events).unwrap();
    assert!(server.get(target).is_none());
}

#[test]
fn a_job_without_selector_selects_its_own_pods() {
    let mut server = server();
    let template = crate::pod::PodTemplate {
        labels: Labels::of(&[("app", "pi")]),
        annotations: Labels::NONE,
        spec: Arc::new(PodSpec::new(vec![Container::new("c", "app:1")]).sealed()),
    };
    let job = Job { meta: ObjectMeta::named("shop", "pi"), ..Job::new(Arc::new(template)) };
    let created = server.handle(SimTime::ZERO, Request::Create(Object::Job(Arc::new(job))), &mut Vec::new());
    let Ok(Object::Job(job)) = created else { panic!("a job: {created:?}") };
    let uid = job.meta.uid.to_string();
    assert_eq!(job.selector.to_string(), format!("batch.kubernetes.io/controller-uid={uid}"));
    assert!(job.selector.matches(&job.template.labels));
    assert_eq!(job.template.labels.get("job-name".into()), Some("pi".into()));
    assert_eq!(job.template.labels.get("app".into()), Some("pi".into()));
}

#[test]
fn foreground_and_orphan_leave_their_finalizer() {
    for (propagation, finalizer) in
        [(Propagation::Foreground, "foregroundDeletion"), (Propagation::Orphan, "orphan")]
    {
        let (mut server, target) = running_pod();
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        let reply =
            server.handle(SimTime::ZERO, Request::Delete { target, options }, &mut Vec::new()).unwrap();
        assert_eq!(reply.meta().finalizers(), [Symbol::new(finalizer)]);
    }
}

#[test]
fn a_namespace_goes_when_its_controller_gives_its_finalizer_up() {
    let mut server = server();
    let mut events = Vec::new();
    let target = server.find(Kind::Namespace, Symbol::empty(), "shop").unwrap().object_ref();
    server.handle(SimTime::ZERO, Request::delete(target), &mut events).unwrap();
    let error = server.handle(SimTime::ZERO, Request::Create(pod("late")), &mut events).unwrap_err();
    assert!(error.namespace_terminating);
    let patch = Patch::RemoveFinalizers(vec!["kubernetes".into()]);
    server.handle(SimTime::ZERO, Request::Patch { target, patch }, &mut events).unwrap();
    assert!(server.get(target).is_none());
}

#[test]
fn a_generated_name_depends_on_its_base_and_its_place_alone() {
    let create = |server: &mut ApiServer, base: &str| {
        let Object::Pod(pod) = pod("") else { unreachable!() };
        let mut pod = Pod::clone(&pod);
        pod.meta.extra = Some(Arc::new(MetaExtra { generate_name: base.into(), ..MetaExtra::default() }));
        let create = Request::Create(Object::Pod(Arc::new(pod)));
        server.handle(SimTime::ZERO, create, &mut Vec::new()).unwrap().meta().name.clone()
    };
    let (mut alone, mut among_others) = (server(), server());
    let first = create(&mut alone, "web-");
    create(&mut among_others, "db-");
    assert_eq!(create(&mut among_others, "web-"), first);
    create(&mut among_others, "db-");
    let second = create(&mut alone, "web-");
    assert_eq!(create(&mut among_others, "web-"), second);
    assert_ne!(first, second);
}

#[test]
fn a_pod_is_bound_once() {
    let (mut server, target) = running_pod();
    let bind = Request::Bind { pod: target.id, node: "node-2".into() };
    let error = server.handle(SimTime::ZERO, bind, &mut Vec::new()).unwrap_err();
    assert!(error.message.ends_with("pod web-0 is already assigned to node \"node-1\""), "{error}");
}

/// A server with a running pod and a budget over it whose controller has written this status.
fn guarded_pod(status: PdbStatus) -> (ApiServer, ObjectRef, u32) {
    let (mut server, target) = running_pod();
    let budget = PodDisruptionBudget {
        meta: ObjectMeta::named("shop", "web"),
        budget: None,
        selector: Some(Selector::of_labels(&Labels::of(&[("app", "web")]))),
        unhealthy_pod_eviction_policy: UnhealthyPodEvictionPolicy::IfHealthyBudget,
        status: PdbStatus::default(),
    };
    let mut events = Vec::new();
    let create = Request::Create(Object::PodDisruptionBudget(Arc::new(budget)));
    let created = server.handle(SimTime::ZERO, create, &mut events);
    let Object::PodDisruptionBudget(mut stored) = created.unwrap() else { unreachable!() };
    Arc::make_mut(&mut stored).status = status;
    let id = stored.meta.id;
    let update =
        Request::Update { object: Object::PodDisruptionBudget(stored), subresource: Subresource::Status };
    server.handle(SimTime::ZERO, update, &mut events).unwrap();
    (server, target, id)
}

/// A status that allows so many evictions, with its condition.
fn allowing(allowed: i32) -> PdbStatus {
    let mut status = PdbStatus {
        disruptions_allowed: allowed,
        current_healthy: 1 + allowed,
        desired_healthy: 1,
        observed_generation: 1,
        ..PdbStatus::default()
    };
    status.note_allowed(SimTime::ZERO);
    status
}

#[test]
fn an_eviction_spends_the_budget_and_its_condition_says_when_it_is_spent() {
    for (allowed, reason, since) in [(2, "SufficientPods", 0), (1, "InsufficientPods", 7)] {
        let (mut server, target, budget) = guarded_pod(allowing(allowed));
        let evict = Request::Evict { pod: target.id, grace_period_seconds: None };
        server.handle(SimTime::from_nanos(7_900_000_000), evict, &mut Vec::new()).unwrap();
        let status = &server.typed::<PodDisruptionBudget>(budget).unwrap().status;
        assert_eq!(status.disruptions_allowed, allowed - 1);
        let condition = status.allowed().unwrap();
        assert_eq!((condition.reason.as_str(), condition.transition), (reason, SimTime::from_secs(since)));
        assert_eq!(
            status.disrupted_pods[0].1,
            SimTime::from_secs(7),
            "times at the server are whole seconds"
        );
    }
}

#[test]
fn an_eviction_without_budget_is_refused_with_the_reason() {
    let failed = || {
        let mut status = allowing(0);
        status.note_failure("found no controllers for pod \"web-0\"", SimTime::ZERO);
        status
    };
    let unhelpful = || PdbStatus { current_healthy: 5, conditions: Vec::new(), ..allowing(0) };
    let many = || PdbStatus { disrupted_pods: vec![Default::default(); 2_001], ..allowing(1) };
    let subject =
        "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web";
    let forbidden = "poddisruptionbudget.policy \"web\" is forbidden:";
    for (status, message) in [
        (allowing(0), format!("{subject} needs 1 healthy pods and has 1 currently")),
        (
            failed(),
            format!(
                "{subject} does not allow evicting pods currently because it failed sync: found no controllers for \
                 pod \"web-0\""
            ),
        ),
        (unhelpful(), format!("{subject} does not allow evicting pods currently")),
        (
            PdbStatus { observed_generation: 0, ..allowing(1) },
            format!("{subject} is still being processed by the server."),
        ),
        (allowing(-1), format!("{forbidden} pdb disruptions allowed is negative")),
        (
            many(),
            format!(
                "{forbidden} DisruptedPods map too big - too many evictions not confirmed by PDB controller"
            ),
        ),
    ] {
        let (mut server, target, budget) = guarded_pod(status.clone());
        let evict = Request::Evict { pod: target.id, grace_period_seconds: None };
        let error = server.handle(SimTime::ZERO, evict, &mut Vec::new()).unwrap_err();
        assert_eq!(error.message, message);
        assert_eq!(server.typed::<PodDisruptionBudget>(budget).unwrap().status, status, "nothing is spent");
    }
}

#[test]
fn a_kubelet_does_not_overwrite_what_others_own() {
    let (mut server, target) = running_pod();
    let mut events = Vec::new();
    let condition = Patch::PodCondition {
        kind: PodConditionType::DisruptionTarget,
        status: ConditionStatus::True,
        reason: PodReason::DeletionByTaintManager,
        message: None,
    };
    server.handle(SimTime::ZERO, Request::Patch { target, patch: condition }, &mut events).unwrap();
    let status = PodStatus { phase: PodPhase::Running, ..PodStatus::default() };
    let patch = Patch::PodStatus(Box::new(status));
    let reply = server.handle(SimTime::from_secs(9), Request::Patch { target, patch }, &mut events).unwrap();
    let conditions = as_pod(&reply).status.conditions;
    assert!(conditions.get(PodConditionType::DisruptionTarget).is_true());
    assert!(conditions.get(PodConditionType::PodScheduled).is_true());
    assert_eq!(conditions.get(PodConditionType::PodScheduled).since(), SimTime::ZERO);
}
