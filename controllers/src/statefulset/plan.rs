//! What one sync of a StatefulSet does: a pure function of the set, its revisions, its pods and
//! their claims (upstream `stateful_set_control.go`).

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::meta::OwnerRef;
use seatrial_api::pod::{Pod, PodPhase};
use seatrial_api::storage::PersistentVolumeClaim;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{
    ClaimRetention, ControllerRevision, PodManagementPolicy, StatefulSet, StatefulSetStatus,
    StatefulSetUpdateStrategy,
};

use super::members::{
    POD_INDEX_LABEL, POD_NAME_LABEL, claim, claim_name, claim_owners, is_available, is_in_range, member,
    names_earlier_pod, ordinal_of, pod_name, revision_of,
};
use crate::framework::min_ready;

/// What a sync looks at.
pub(super) struct View<'a> {
    pub(super) set: &'a StatefulSet,
    /// The revision that all pods had last.
    pub(super) current: &'a ControllerRevision,
    /// The revision that pods are moving to.
    pub(super) update: &'a ControllerRevision,
    pub(super) collisions: i32,
    /// The set's pods.
    pub(super) pods: &'a [Arc<Pod>],
    /// Finds a claim by its name.
    pub(super) claim: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    pub(super) now: SimTime,
}

/// One thing that a sync does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    CreateClaim {
        claim: Arc<PersistentVolumeClaim>,
        pod: CompactString,
    },
    CreatePod(Arc<Pod>),
    DeletePod {
        id: u32,
        name: CompactString,
        /// Whether it is deleted to be made anew from the update revision.
        for_update: bool,
    },
    OwnClaim {
        id: u32,
        name: CompactString,
        pod: CompactString,
        owners: Vec<OwnerRef>,
    },
    UpdatePod {
        id: u32,
        name: CompactString,
        labels: Vec<(Symbol, Option<Symbol>)>,
    },
    /// Nothing can be sent: the pod's creation fails for this reason.
    Refuse {
        pod: CompactString,
        reason: String,
    },
}

/// Steps that are sent together.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    /// Whether they are sent in growing groups, else one by one.
    pub(super) in_groups: bool,
    pub(super) steps: Vec<Step>,
}

/// What a sync does, and the status that it writes then.
pub(super) struct Plan {
    pub(super) phases: Vec<Phase>,
    pub(super) status: StatefulSetStatus,
}

/// A pod of the range, or the place of one that is missing.
#[derive(Clone, Copy)]
struct Place<'a> {
    ordinal: i32,
    pod: Option<&'a Arc<Pod>>,
}

struct Planner<'a> {
    view: &'a View<'a>,
    min_ready: Span,
    phases: Vec<Phase>,
}

/// The plan of a sync.
pub(super) fn plan(view: &View<'_>) -> Plan {
    let mut planner = Planner { view, min_ready: min_ready(view.set.min_ready_seconds), phases: Vec::new() };
    if !view.set.meta.is_deleting() {
        match view.set.pod_management_policy {
            PodManagementPolicy::OrderedReady => planner.in_order(),
            PodManagementPolicy::Parallel => planner.in_parallel(),
        }
    }
    Plan { phases: planner.phases, status: status(view) }
}

/// The status that the pods as they were read make.
fn status(view: &View<'_>) -> StatefulSetStatus {
    let (current, update) = (Symbol::new(&view.current.meta.name), Symbol::new(&view.update.meta.name));
    let mut status = StatefulSetStatus {
        current_revision: current,
        update_revision: update,
        collision_count: Some(view.collisions),
        observed_generation: view.set.meta.generation,
        conditions: view.set.status.conditions.clone(),
        ..StatefulSetStatus::default()
    };
    let span = min_ready(view.set.min_ready_seconds);
    for pod in view.pods {
        status.replicas += 1;
        if pod.status.phase == PodPhase::Running && pod.is_ready() {
            status.ready_replicas += 1;
            status.available_replicas += i32::from(pod.is_available(span, view.now));
        }
        if !pod.meta.is_deleting() {
            let revision = revision_of(pod);
            status.current_replicas += i32::from(revision == current);
            status.updated_replicas += i32::from(revision == update);
        }
    }
    status
}

/// Notes the end of a rolling update: all pods are of the update revision and ready.
pub(super) fn complete_rolling_update(set: &StatefulSet, status: &mut StatefulSetStatus) {
    let rolls = matches!(set.update_strategy, StatefulSetUpdateStrategy::RollingUpdate { .. });
    let all = |count: i32| count == set.replicas;
    if rolls && all(status.updated_replicas) && all(status.ready_replicas) && all(status.replicas) {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision;
    }
}

impl<'a> Planner<'a> {
    /// Pods of the range in order of their ordinals, gaps included.
    fn places(&self) -> impl DoubleEndedIterator<Item = Place<'a>> + use<'a> {
        let view = self.view;
        let mut pods: Vec<(i32, &'a Arc<Pod>)> =
            view.pods.iter().filter_map(|pod| Some((self.ordinal(pod)?, pod))).collect();
        pods.sort_by_key(|entry| entry.0);
        let start = view.set.ordinals_start;
        (0..view.set.replicas).map(move |index| {
            let ordinal = start.saturating_add(index);
            let found = pods.binary_search_by_key(&ordinal, |entry| entry.0).ok();
            Place { ordinal, pod: found.map(|found| pods[found].1) }
        })
    }

    /// Pods outside the range, highest ordinal first.
    fn surplus(&self) -> Vec<(i32, &'a Arc<Pod>)> {
        let pods = self.view.pods.iter().filter_map(|pod| Some((self.ordinal(pod)?, pod)));
        let mut surplus: Vec<_> = pods.filter(|entry| !is_in_range(self.view.set, entry.0)).collect();
        surplus.sort_by_key(|entry| std::cmp::Reverse(entry.0));
        surplus
    }

    fn ordinal(&self, pod: &Pod) -> Option<i32> {
        ordinal_of(&self.view.set.meta.name, &pod.meta.name)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        is_available(pod, self.min_ready, self.view.now)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        !pod.meta.is_deleting() && self.is_available(pod)
    }

    /// One pod after another, each only when all before it are healthy.
    fn in_order(&mut self) {
        let mut steps = Vec::new();
        let mut blocked = false;
        for place in self.places() {
            blocked = self.attend(place, &mut steps);
            if blocked {
                break;
            }
        }
        self.push_in_turn(steps);
        if blocked {
            return;
        }
        let surplus = self.surplus();
        let mut steps = Vec::new();
        surplus.iter().for_each(|&(ordinal, pod)| self.own_claims(pod, ordinal, &mut steps));
        self.push_in_turn(steps);
        match surplus.first() {
            Some(_) => self.give_up_highest(&surplus),
            None => self.update(),
        }
    }

    /// Does what a pod of the range needs. Returns whether the following ones must wait.
    fn attend(&self, place: Place<'a>, steps: &mut Vec<Step>) -> bool {
        let Some(pod) = place.pod else {
            self.create(place.ordinal, steps);
            return true;
        };
        if pod.status.phase.is_terminal() {
            if !pod.meta.is_deleting() {
                steps.push(deletion(pod, false));
            }
            return true;
        }
        if pod.status.phase == PodPhase::Pending {
            self.make_claims(pod, place.ordinal, steps);
        }
        if !self.is_healthy(pod) {
            return true;
        }
        self.repair(pod, place.ordinal, steps);
        false
    }

    /// Surplus pods go one by one from the highest ordinal. An unhealthy one goes only if it is
    /// the lowest unhealthy one.
    fn give_up_highest(&mut self, surplus: &[(i32, &Arc<Pod>)]) {
        let lowest_unhealthy =
            surplus.iter().rev().find(|entry| !self.is_healthy(entry.1)).map(|entry| entry.0);
        let Some(&(ordinal, pod)) = surplus.first() else { return };
        let may_go = self.is_available(pod) || lowest_unhealthy == Some(ordinal);
        if !pod.meta.is_deleting() && may_go {
            self.push_in_turn(vec![deletion(pod, false)]);
        }
    }

    /// All pods at once; only updates go one by one.
    fn in_parallel(&mut self) {
        let (mut claims, mut pods) = (Vec::new(), Vec::new());
        for place in self.places() {
            let Some(pod) = place.pod else {
                let mut steps = Vec::new();
                self.create(place.ordinal, &mut steps);
                let (made, others): (Vec<_>, Vec<_>) =
                    steps.into_iter().partition(|step| matches!(step, Step::CreateClaim { .. }));
                claims.extend(made);
                pods.extend(others);
                continue;
            };
            if pod.status.phase.is_terminal() {
                if !pod.meta.is_deleting() {
                    pods.push(deletion(pod, false));
                }
                continue;
            }
            if pod.status.phase == PodPhase::Pending {
                self.make_claims(pod, place.ordinal, &mut claims);
            }
            self.repair(pod, place.ordinal, &mut pods);
        }
        self.push_in_groups(claims);
        self.push_in_groups(pods);
        let surplus = self.surplus();
        let (mut claims, mut pods) = (Vec::new(), Vec::new());
        for &(ordinal, pod) in &surplus {
            self.own_claims(pod, ordinal, &mut claims);
            if !pod.meta.is_deleting() {
                pods.push(deletion(pod, false));
            }
        }
        self.push_in_groups(claims);
        self.push_in_groups(pods);
        self.update();
    }

    /// A rolling update deletes the pod with the highest ordinal that is not of the update
    /// revision, once all above it are healthy.
    fn update(&mut self) {
        let StatefulSetUpdateStrategy::RollingUpdate { partition } = self.view.set.update_strategy else {
            return;
        };
        let update = Symbol::new(&self.view.update.meta.name);
        let first = self.view.set.ordinals_start.saturating_add(partition.unwrap_or(0));
        for place in self.places().rev().take_while(|place| place.ordinal >= first) {
            let Some(pod) = place.pod else { return };
            if revision_of(pod) != update && !pod.meta.is_deleting() {
                return self.push_in_turn(vec![deletion(pod, true)]);
            }
            if !self.is_healthy(pod) {
                return;
            }
        }
    }

    /// Creates the pod of an ordinal, its missing claims first.
    fn create(&self, ordinal: i32, steps: &mut Vec<Step>) {
        let view = self.view;
        let name = pod_name(view.set, ordinal);
        let claims =
            || view.set.claim_templates.iter().map(|template| claim_name(view.set, template, ordinal));
        let existing = || claims().filter_map(|claim| (view.claim)(&claim));
        if view.set.retention_when_scaled == ClaimRetention::Delete
            && existing().any(|claim| names_earlier_pod(&claim, &name))
        {
            return;
        }
        self.create_claims(ordinal, &name, steps);
        if let Some(claim) = existing().find(|claim| claim.meta.is_deleting()) {
            let reason = format!("pvc {} is being deleted", claim.meta.name);
            return steps.push(Step::Refuse { pod: name, reason });
        }
        let revision = if self.is_made_current(ordinal) { view.current } else { view.update };
        let pod = member(view.set, &revision.template, &revision.meta.name, ordinal);
        let owned =
            existing().filter_map(|claim| own_claim(view.set, &claim, &pod, ordinal)).collect::<Vec<_>>();
        steps.push(Step::CreatePod(Arc::new(pod)));
        steps.extend(owned);
    }

    /// Whether a missing pod is made from the current revision, as those below the partition are.
    fn is_made_current(&self, ordinal: i32) -> bool {
        let set = self.view.set;
        let index = ordinal.saturating_sub(set.ordinals_start);
        match set.update_strategy {
            StatefulSetUpdateStrategy::RollingUpdate { partition: Some(partition) } => index < partition,
            StatefulSetUpdateStrategy::RollingUpdate { partition: None } => {
                index < set.status.current_replicas
            }
            StatefulSetUpdateStrategy::OnDelete => false,
        }
    }

    fn create_claims(&self, ordinal: i32, pod: &str, steps: &mut Vec<Step>) {
        for template in self.view.set.claim_templates.iter() {
            if (self.view.claim)(&claim_name(self.view.set, template, ordinal)).is_none() {
                let claim = Arc::new(claim(self.view.set, template, ordinal));
                steps.push(Step::CreateClaim { claim, pod: pod.into() });
            }
        }
    }

    /// Makes claims that went missing under a pending pod, and sees to their owners.
    fn make_claims(&self, pod: &Pod, ordinal: i32, steps: &mut Vec<Step>) {
        self.create_claims(ordinal, &pod.meta.name, steps);
        self.own_claims(pod, ordinal, steps);
    }

    fn own_claims(&self, pod: &Pod, ordinal: i32, steps: &mut Vec<Step>) {
        for template in self.view.set.claim_templates.iter() {
            let claim = (self.view.claim)(&claim_name(self.view.set, template, ordinal));
            steps.extend(claim.and_then(|claim| own_claim(self.view.set, &claim, pod, ordinal)));
        }
    }

    /// Gives a pod back the labels of its identity and its claims their owners.
    fn repair(&self, pod: &Pod, ordinal: i32, steps: &mut Vec<Step>) {
        let before = steps.len();
        if pod.status.phase != PodPhase::Pending {
            self.own_claims(pod, ordinal, steps);
        }
        let name = Symbol::new(POD_NAME_LABEL);
        let named = pod.meta.labels.get(name).is_some_and(|label| label == pod.meta.name.as_str());
        if named && steps.len() == before {
            return;
        }
        let labels = if named {
            Vec::new()
        } else {
            let index = Symbol::new(&ordinal.to_string());
            vec![(name, Some(Symbol::new(&pod.meta.name))), (Symbol::new(POD_INDEX_LABEL), Some(index))]
        };
        steps.push(Step::UpdatePod { id: pod.meta.id, name: pod.meta.name.clone(), labels });
    }

    fn push_in_turn(&mut self, steps: Vec<Step>) {
        self.push(Phase { in_groups: false, steps });
    }

    fn push_in_groups(&mut self, steps: Vec<Step>) {
        let (refusals, steps): (Vec<_>, Vec<_>) =
            steps.into_iter().partition(|step| matches!(step, Step::Refuse { .. }));
        self.push(Phase { in_groups: true, steps });
        self.push(Phase { in_groups: false, steps: refusals });
    }

    fn push(&mut self, phase: Phase) {
        if !phase.steps.is_empty() {
            self.phases.push(phase);
        }
    }
}

fn deletion(pod: &Pod, for_update: bool) -> Step {
    Step::DeletePod { id: pod.meta.id, name: pod.meta.name.clone(), for_update }
}

fn own_claim(set: &StatefulSet, claim: &PersistentVolumeClaim, pod: &Pod, ordinal: i32) -> Option<Step> {
    let owners = claim_owners(set, claim, &pod.meta, ordinal)?;
    Some(Step::OwnClaim {
        id: claim.meta.id,
        name: claim.meta.name.clone(),
        pod: pod.meta.name.clone(),
        owners,
    })
}
