//! Cases: a cluster, pods to place one after another, and everything that was found out about each
//! of them. This is what recordings of the real scheduler are compared with.
//!
//! Every node is filtered and scored, a tie goes to the first in name order, every candidate of
//! preemption is tried. There is no queue and no time: a bound pod runs at once, victims vanish at
//! once, and their preemptor is tried again at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::Node;
use seatrial_api::object::Object;
use seatrial_api::pod::{Pod, PodPhase, PodSpec};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::cluster::{Cluster, OwnerKey};
use crate::config::{ConfigurationError, SchedulerConfiguration, TieBreak};
use crate::decide::best_positions;
use crate::framework::{Code, CycleState, Profile};
use crate::preemption::{Candidate, PostFilterContext, best_candidates, fit_error, post_filter};
use crate::queue::Nominations;
use crate::schedule::{Diagnosis, View, filter, score};
use seatrial_api::stream::Stream;

/// A cluster to place pods in.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The scheduler's configuration. A pod whose scheduler is none of its profiles gets the first.
    pub configuration: SchedulerConfiguration,
    /// The nodes.
    pub nodes: Vec<Arc<Node>>,
    /// Pods on nodes, and pending ones that are nominated to nodes.
    pub pods: Vec<Arc<Pod>>,
    /// All other objects.
    pub objects: Vec<Object>,
    /// Selectors of owners that are no objects here, such as ReplicationControllers.
    pub owners: Vec<(OwnerKey, Arc<Selector>)>,
}

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum CaseOutcome {
    /// It is on this node.
    Bound(Symbol),
    /// It fits nowhere.
    Unschedulable,
    /// It may not enter the queue; `Plugin: reason`.
    Gated(String),
}

/// Everything about one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseDecision {
    /// `namespace/name`.
    pub pod: String,
    /// What became of it.
    pub outcome: CaseOutcome,
    /// One attempt, or two if the first made room by preemption.
    pub attempts: Vec<Attempt>,
}

/// One attempt to place a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attempt {
    /// The node to which the pod was nominated before.
    pub nominated_node: Option<Symbol>,
    /// Feasible nodes in name order.
    pub feasible: Vec<Symbol>,
    /// Rejected nodes in name order.
    pub rejected: BTreeMap<Symbol, Rejection>,
    /// What applies to all other nodes.
    pub absent: Option<Rejection>,
    /// The plugins that rejected nodes or the pod, in text order.
    pub rejectors: Vec<&'static str>,
    /// The message of a PreFilter rejection.
    pub pre_filter_message: Option<String>,
    /// Scores, if there was something to choose.
    pub scores: Option<ScoreTable>,
    /// All best nodes in name order.
    pub top: Vec<Symbol>,
    /// The message for users, if the pod fits nowhere.
    pub fit_error: Option<String>,
    /// What PostFilter came to: `Success`, `Unschedulable` or `Error`.
    pub post_filter: Option<&'static str>,
    /// What preemption found.
    pub preemption: Option<PreemptionFound>,
}

/// Why a node was rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// The plugin, empty if it was several.
    pub plugin: &'static str,
    /// How.
    pub code: Code,
    /// Why, in text order.
    pub reasons: Vec<String>,
}

/// Scores of the feasible nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreTable {
    /// The plugins that scored.
    pub plugins: Vec<&'static str>,
    /// Per node: the weighted score of each plugin.
    pub nodes: BTreeMap<Symbol, Vec<i64>>,
}

impl ScoreTable {
    /// The largest sum.
    pub fn top_score(&self) -> i64 {
        self.nodes.values().map(|row| row.iter().sum()).max().unwrap_or(0)
    }
}

/// What preemption found.
#[derive(Clone, Debug, PartialEq)]
pub struct PreemptionFound {
    /// All candidates: victims in order of importance, and budget violations.
    pub candidates: BTreeMap<Symbol, (Vec<String>, usize)>,
    /// The best ones, in name order.
    pub best: Vec<Symbol>,
    /// The chosen one.
    pub node: Symbol,
    /// Its victims.
    pub victims: Vec<String>,
}

/// What really became of a pod, where a recording is followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fact {
    /// The node on which it ended, if it did.
    pub node: Option<Symbol>,
    /// The pods that had to go for it, as `namespace/name`.
    pub victims: Vec<String>,
}

/// A case in play.
#[derive(Clone)]
pub struct Play {
    profiles: Arc<[Profile]>,
    cluster: Cluster,
    nominations: Nominations,
    nodes_of: BTreeMap<String, (u32, Symbol)>,
    next_id: u32,
    bound: i64,
}

impl Play {
    /// Sets a case up.
    ///
    /// # Errors
    /// If its configuration is not valid.
    pub fn new(case: &Case) -> Result<Play, ConfigurationError> {
        let configuration = &case.configuration;
        if !configuration.extenders.is_empty() {
            return Err(ConfigurationError::new("extenders", "a case is played without extenders"));
        }
        let mut profiles = Profile::all(configuration, &[])?;
        profiles.iter_mut().for_each(|profile| profile.percentage_of_nodes_to_score = 100);
        let mut play = Play {
            profiles: profiles.into(),
            cluster: Cluster::new(),
            nominations: Nominations::default(),
            nodes_of: BTreeMap::new(),
            next_id: 1,
            bound: 0,
        };
        for node in &case.nodes {
            play.cluster.set_node(node);
        }
        for (row, object) in case.objects.iter().enumerate() {
            let mut object = object.clone();
            object.meta_mut().id = row as u32;
            play.cluster.apply(&object);
        }
        for (owner, selector) in &case.owners {
            play.cluster.set_owner(owner.clone(), Some(selector.clone()));
        }
        // In the order in which an API server lists them.
        let mut pods: Vec<&Arc<Pod>> = case.pods.iter().collect();
        pods.sort_by_key(|pod| (pod.meta.namespace, &pod.meta.name));
        for pod in pods {
            let pod = play.numbered(pod);
            match (pod.node, pod.status.nominated_node) {
                (Some(node), _) => play.place(&pod, node),
                // The real scheduler looks a nominated pod up in its queue, in which recorded ones are
                // not: it knows their names alone, no requests, no labels, no priority.
                (None, Some(node)) => {
                    let bare = PodSpec::new(Vec::new()).sealed();
                    let meta = ObjectMeta { labels: Labels::NONE, ..pod.meta.clone() };
                    play.nominations.set(&Arc::new(Pod::new(meta, Arc::new(bare))), node);
                }
                (None, None) => {}
            }
        }
        play.cluster.refresh();
        Ok(play)
    }

    /// A play that goes on from what a scheduler knows.
    pub(crate) fn of(profile: &Profile, cluster: &Cluster, nominations: &Nominations) -> Play {
        let mut play = Play {
            profiles: [Profile { percentage_of_nodes_to_score: 100, ..profile.clone() }].into(),
            cluster: cluster.clone(),
            nominations: nominations.clone(),
            nodes_of: BTreeMap::new(),
            next_id: u32::MAX,
            bound: 0,
        };
        play.cluster.refresh();
        for node in play.cluster.nodes() {
            let pods = node.pods().iter().map(|row| (row.pod.meta.full_name(), (row.id, node.name())));
            play.nodes_of.extend(pods);
        }
        play
    }

    /// What a pod meets that is in the play already, as if it were not.
    pub(crate) fn explain(&mut self, pod: &Arc<Pod>) -> CaseDecision {
        self.evict(&[pod.meta.full_name()]);
        let waiting = Pod { node: None, ..Pod::clone(pod) };
        self.decide(&Arc::new(waiting))
    }

    /// Places a pod, and lets the cluster go on from there.
    pub fn schedule(&mut self, pod: &Arc<Pod>) -> CaseDecision {
        let pod = self.numbered(pod);
        let decision = self.decide(&pod);
        let victims = decision.attempts.iter().filter_map(|attempt| attempt.preemption.as_ref());
        let victims: Vec<String> = victims.flat_map(|found| found.victims.iter().cloned()).collect();
        let node = match decision.outcome {
            CaseOutcome::Bound(node) => Some(node),
            _ => None,
        };
        self.advance(&pod, &Fact { node, victims });
        decision
    }

    /// Decides about a pod, and lets the cluster go on from what really became of it.
    pub fn follow(&mut self, pod: &Arc<Pod>, fact: &Fact) -> CaseDecision {
        let pod = self.numbered(pod);
        let decision = self.decide(&pod);
        self.advance(&pod, fact);
        decision
    }

    fn profile(&self, pod: &Pod) -> &Profile {
        profile_of(&self.profiles, pod)
    }

    /// A pod with a row of its own, which cases do not bring along.
    fn numbered(&mut self, pod: &Arc<Pod>) -> Arc<Pod> {
        let mut pod = Pod::clone(pod);
        pod.meta.id = self.next_id;
        self.next_id += 1;
        Arc::new(pod)
    }

    fn place(&mut self, pod: &Arc<Pod>, node: Symbol) {
        self.cluster.add_pod(pod, node, u32::MAX);
        self.nodes_of.insert(pod.meta.full_name(), (pod.meta.id, node));
    }

    fn decide(&mut self, pod: &Arc<Pod>) -> CaseDecision {
        let name = pod.meta.full_name();
        let profile = self.profile(pod);
        for &plugin in &profile.pre_enqueue {
            let plugin = profile.plugin(plugin);
            if let Some(reason) = plugin.pre_enqueue(pod) {
                let outcome = CaseOutcome::Gated(format!("{}: {reason}", plugin.name()));
                return CaseDecision { pod: name, outcome, attempts: Vec::new() };
            }
        }
        let first = self.attempt(pod);
        let mut attempts = vec![first];
        if let Some(found) = attempts[0].preemption.clone() {
            attempts.push(self.clone().attempt_after(pod, &found));
        }
        let top = attempts.last().and_then(|attempt| attempt.top.first().copied());
        let outcome = top.map_or(CaseOutcome::Unschedulable, CaseOutcome::Bound);
        CaseDecision { pod: name, outcome, attempts }
    }

    /// The attempt that follows when the victims are gone.
    fn attempt_after(&mut self, pod: &Arc<Pod>, found: &PreemptionFound) -> Attempt {
        self.evict(&found.victims);
        let mut pod = Pod::clone(pod);
        pod.status.nominated_node = Some(found.node);
        let mut attempt = self.attempt(&Arc::new(pod));
        attempt.nominated_node = Some(found.node);
        attempt
    }

    fn attempt(&self, pod: &Arc<Pod>) -> Attempt {
        let view = View {
            cluster: &self.cluster,
            profile: self.profile(pod),
            nominations: &self.nominations,
            pod,
            explain: true,
        };
        let mut state = CycleState::default();
        let filtered = filter(view, &mut state, &mut 0);
        let name = |&position: &usize| self.cluster.node_at(position).name();
        let mut attempt = describe(view.profile, &filtered.diagnosis);
        attempt.feasible = filtered.feasible.iter().map(name).collect();
        attempt.feasible.sort_unstable();
        match filtered.feasible[..] {
            [] => self.describe_failure(view, &filtered.diagnosis, &state, &mut attempt),
            [_] => attempt.top = attempt.feasible.clone(),
            _ => {
                let scores = score(view, &mut state, &filtered.feasible);
                attempt.top = best_positions(&filtered.feasible, &scores.totals).iter().map(name).collect();
                attempt.top.sort_unstable();
                let plugins = scores.plugins.iter().map(|&plugin| view.profile.plugin(plugin).name());
                attempt.scores = Some(ScoreTable {
                    plugins: plugins.collect(),
                    nodes: filtered.feasible.iter().map(name).zip(scores.weighted).collect(),
                });
            }
        }
        attempt
    }

    fn describe_failure(
        &self,
        view: View<'_>,
        diagnosis: &Diagnosis,
        state: &CycleState,
        attempt: &mut Attempt,
    ) {
        let mut stream = Stream::new(0, 0, 0);
        let mut context = PostFilterContext {
            cluster: view.cluster,
            profile: view.profile,
            nominations: view.nominations,
            pod: view.pod,
            state,
            diagnosis,
            explain: true,
            ties: TieBreak::First,
            stream: &mut stream,
            exhaustive: true,
            extenders: None,
            candidates: Vec::new(),
            costs: None,
        };
        let result = post_filter(&mut context);
        let candidates = std::mem::take(&mut context.candidates);
        attempt.post_filter = Some(match (&result.preemption, result.failed) {
            (Some(_), _) => "Success",
            (None, true) => "Error",
            (None, false) => "Unschedulable",
        });
        attempt.preemption = result.preemption.as_ref().map(|chosen| found(&candidates, chosen));
        attempt.fit_error = Some(fit_error(self.cluster.node_count(), diagnosis, &result));
    }

    /// Lets the cluster go on: victims vanish, the pod runs on its node with its volumes reserved.
    fn advance(&mut self, pod: &Arc<Pod>, fact: &Fact) {
        self.evict(&fact.victims);
        let Some(node) = fact.node else { return };
        let profiles = self.profiles.clone();
        let profile = profile_of(&profiles, pod);
        for &plugin in &profile.reserve {
            profile.plugin(plugin).reserve(&mut self.cluster, pod, node);
        }
        let mut running = Pod::clone(pod);
        running.node = Some(node);
        running.status.phase = PodPhase::Running;
        running.status.start_time = Some(SimTime::from_secs(self.bound));
        self.bound += 1;
        self.place(&Arc::new(running), node);
    }

    fn evict(&mut self, victims: &[String]) {
        for victim in victims {
            if let Some((id, node)) = self.nodes_of.remove(victim) {
                self.cluster.remove_pod(id, node, u32::MAX);
            }
        }
    }
}

pub(crate) fn profile_of<'a>(profiles: &'a [Profile], pod: &Pod) -> &'a Profile {
    let own = profiles.iter().find(|profile| profile.scheduler_name == pod.spec.scheduler_name);
    own.unwrap_or(&profiles[0])
}

/// What filtering found out, as a case shows it.
fn describe(profile: &Profile, diagnosis: &Diagnosis) -> Attempt {
    let mut rejected = BTreeMap::new();
    for rejection in &diagnosis.rejections {
        let mut reasons: Vec<String> = rejection.reasons.iter().map(ToString::to_string).collect();
        reasons.sort_unstable();
        let plugin = profile.plugin(rejection.plugin).name();
        rejected.insert(rejection.node, Rejection { plugin, code: rejection.code, reasons });
    }
    let absent = diagnosis.absent.as_ref().map(|absent| Rejection {
        plugin: absent.plugin.map_or("", |plugin| profile.plugin(plugin).name()),
        code: absent.code,
        reasons: vec![absent.reason.to_string()],
    });
    Attempt {
        rejected,
        absent,
        rejectors: profile.names(diagnosis.rejectors),
        pre_filter_message: diagnosis.pre_filter_message.clone(),
        ..Attempt::default()
    }
}

fn found(candidates: &[Candidate], chosen: &Candidate) -> PreemptionFound {
    let names = |candidate: &Candidate| -> Vec<String> {
        candidate.victims.iter().map(|victim| victim.meta.full_name()).collect()
    };
    let mut best: Vec<Symbol> =
        best_candidates(candidates).into_iter().map(|index| candidates[index].node).collect();
    best.sort_unstable();
    PreemptionFound {
        candidates: candidates
            .iter()
            .map(|candidate| (candidate.node, (names(candidate), candidate.violations)))
            .collect(),
        best,
        node: chosen.node,
        victims: names(chosen),
    }
}
