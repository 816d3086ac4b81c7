//! What a template asks the index: its spread constraints and affinity terms as sets and tables.

use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::scheduling::{PodAffinityTerm, WhenUnsatisfiable};
use seatrial_api::symbol::Symbol;

use super::class::{ClassId, Classes};
use super::shape::{IndexedFilter, Shape};
use crate::cluster::{Cluster, Membership, Role, SetId, TemplateId, TopologyId};
use crate::framework::Profile;
use crate::plugins::inter_pod_affinity as affinity;
use crate::plugins::node_affinity;
use crate::plugins::topology_spread::{Constraint, PodTopologySpread};

/// A set counted by the domains of a topology.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) set: SetId,
    pub(crate) table: usize,
    pub(crate) topology: TopologyId,
}

/// A hard spread constraint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HardConstraint {
    pub(crate) topology: TopologyId,
    /// The pods it counts; `None` if it counts none.
    pub(crate) counted: Option<Counted>,
    pub(crate) max_skew: i64,
    pub(crate) min_domains: i64,
    /// 1 if the pod itself is among those that are counted.
    pub(crate) own: i64,
}

/// A soft spread constraint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SoftConstraint {
    pub(crate) topology: TopologyId,
    /// The pods it counts; `None` if it counts none.
    pub(crate) counted: Option<Counted>,
    /// Whether pods are counted on the node itself.
    pub(crate) by_host: bool,
    pub(crate) max_skew: i64,
}

/// A set with what each of its pods adds to the score of its domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighted {
    pub(crate) counted: Counted,
    pub(crate) weight: i64,
}

/// Everything that placing pods of a template depends on besides columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    serial: u64,
    index_generation: u64,
    classes_generation: u64,
    selectors_epoch: u64,
    /// The constraints that the plan was made for.
    sources: [Arc<[Constraint]>; 2],
    /// How many sets of terms that look for the pods are taken into account.
    looked_for: usize,
    /// Whether the fast path can serve the pods.
    pub(crate) is_fast: bool,
    pub(crate) class: ClassId,
    pub(crate) hard: Vec<HardConstraint>,
    pub(crate) soft: Vec<SoftConstraint>,
    /// Whether nodes without some key of the soft constraints are left out of the scoring.
    pub(crate) needs_all_keys: bool,
    /// Terms of required affinity; all count the same set.
    pub(crate) affinity: Vec<Counted>,
    /// Whether the pod itself matches all of them.
    pub(crate) matches_itself: bool,
    /// Terms of required anti-affinity.
    pub(crate) anti: Vec<Counted>,
    /// Required anti-affinity of other pods that looks for these.
    pub(crate) existing_anti: Vec<Counted>,
    /// Preferences of the pod itself.
    pub(crate) own_preferences: Vec<Weighted>,
    /// Preferences of others that look for these pods; required affinity included.
    pub(crate) others_preferences: Vec<Weighted>,
}

impl Plan {
    /// Whether filters of scope Cluster have something to say.
    pub(crate) fn has_cluster_filters(&self) -> bool {
        !(self.hard.is_empty()
            && self.affinity.is_empty()
            && self.anti.is_empty()
            && self.existing_anti.is_empty())
    }

    /// Whether nothing that this plan was made of has changed.
    pub(crate) fn is_valid(&self, cluster: &Cluster, classes: &Classes, template: TemplateId) -> bool {
        let known = cluster.index.templates.get(template);
        self.serial == known.serial
            && self.index_generation == cluster.index.generation
            && self.classes_generation == classes.generation
            && self.selectors_epoch == cluster.selectors_epoch
            && self.looked_for == known.looked_for_by.len()
    }
}

/// Makes plans.
pub(super) struct Planner<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) classes: &'a mut Classes,
    pub(super) profile: &'a Profile,
    pub(super) profile_id: u8,
    pub(super) shape: &'a Shape,
    pub(super) pod: &'a Arc<Pod>,
    pub(super) template: TemplateId,
}

impl Planner<'_> {
    /// The plan of the pod's template; what is still right of an old one is kept.
    pub(super) fn plan(mut self, old: Option<Plan>) -> Plan {
        let spread = self.shape.spread(self.profile);
        let sources = spread.map_or_else(Default::default, |spread| self.constraints(spread));
        let known = self.cluster.index.templates.get(self.template);
        let mut plan = match old {
            Some(plan)
                if plan.serial == known.serial
                    && plan.index_generation == self.cluster.index.generation
                    && plan.classes_generation == self.classes.generation
                    && plan.sources == sources =>
            {
                plan
            }
            _ => self.fresh(sources, spread),
        };
        plan.selectors_epoch = self.cluster.selectors_epoch;
        self.catch_up_with_terms(&mut plan);
        plan
    }

    fn constraints(&self, spread: &PodTopologySpread) -> [Arc<[Constraint]>; 2] {
        [WhenUnsatisfiable::DoNotSchedule, WhenUnsatisfiable::ScheduleAnyway]
            .map(|action| spread.constraints(self.cluster, self.pod, action))
    }

    fn fresh(&mut self, sources: [Arc<[Constraint]>; 2], spread: Option<&PodTopologySpread>) -> Plan {
        let class = self.classes.intern(self.cluster, self.profile, self.profile_id, self.shape, self.pod);
        let mut plan = Plan {
            serial: self.cluster.index.templates.get(self.template).serial,
            index_generation: self.cluster.index.generation,
            classes_generation: self.classes.generation,
            is_fast: self.shape.serves(self.profile, self.pod) && !node_affinity::is_pinned(self.pod),
            class,
            ..Plan::default()
        };
        if plan.is_fast {
            self.plan_spreading(&mut plan, &sources, spread);
            self.plan_affinity(&mut plan);
        }
        plan.sources = sources;
        plan
    }

    fn plan_spreading(
        &mut self,
        plan: &mut Plan,
        [hard, soft]: &[Arc<[Constraint]>; 2],
        spread: Option<&PodTopologySpread>,
    ) {
        let Some(spread) = spread else { return };
        let filters = self.shape.filters(IndexedFilter::Spread);
        for constraint in hard.iter().filter(|_| filters) {
            let counted = self.counted_constraint(constraint, hard, true);
            plan.hard.push(HardConstraint {
                topology: self.topology(constraint.key),
                counted,
                max_skew: constraint.max_skew,
                min_domains: constraint.min_domains,
                own: i64::from(constraint.matches(self.pod)),
            });
        }
        plan.needs_all_keys = spread.requires_all_keys(self.pod);
        for constraint in soft.iter().filter(|_| self.shape.spread_weight.is_some()) {
            let counted = self.counted_constraint(constraint, soft, plan.needs_all_keys);
            plan.soft.push(SoftConstraint {
                topology: self.topology(constraint.key),
                counted,
                by_host: constraint.is_by_host(),
                max_skew: constraint.max_skew,
            });
        }
    }

    fn topology(&mut self, key: Symbol) -> TopologyId {
        let (index, nodes, _) = self.cluster.planning();
        index.topology(key, nodes)
    }

    /// The pods that a constraint counts, on the nodes that count for it.
    fn counted_constraint(
        &mut self,
        constraint: &Constraint,
        all: &[Constraint],
        needs_all_keys: bool,
    ) -> Option<Counted> {
        let selector = constraint.selector.clone().filter(|selector| !selector.is_empty())?;
        let (index, nodes, namespaces) = self.cluster.planning();
        let namespace = self.pod.meta.namespace;
        let set = index.ask(self.template, Membership::Selected { namespace, selector }, nodes, namespaces);
        let topology = index.topology(constraint.key, nodes);
        let keys: Vec<Symbol> = match needs_all_keys {
            true if all.len() > 1 => all.iter().map(|constraint| constraint.key).collect(),
            _ => Vec::new(),
        };
        let restricted = constraint.honors_taints
            || constraint.honors_affinity && node_affinity::is_constrained(self.pod)
            || !keys.is_empty();
        let eligibility = restricted.then(|| index.eligibility(self.pod, constraint, &keys, nodes));
        let table = index.table(set, topology, eligibility);
        Some(Counted { set, table, topology })
    }

    fn plan_affinity(&mut self, plan: &mut Plan) {
        let Some(affinity) = &self.pod.spec.affinity else { return };
        let affinity = affinity.clone();
        let filters = self.shape.filters(IndexedFilter::Affinity);
        let required: Arc<[PodAffinityTerm]> = affinity.pod.required.to_vec().into();
        if filters && !required.is_empty() {
            for term in required.iter() {
                let counted = self.counted_terms(required.clone(), term.topology_key);
                plan.affinity.push(counted);
            }
            plan.matches_itself = required
                .iter()
                .all(|term| affinity::own_term_selects(self.cluster, term, self.pod, self.pod));
        }
        for term in affinity.anti.required.iter().filter(|_| filters) {
            let counted = self.counted_terms([term.clone()].into(), term.topology_key);
            plan.anti.push(counted);
        }
        if self.shape.affinity_weight.is_none() {
            return;
        }
        let near = affinity.pod.preferred.iter().map(|preferred| (&preferred.term, preferred.weight));
        let away = affinity.anti.preferred.iter().map(|preferred| (&preferred.term, -preferred.weight));
        for (term, weight) in near.chain(away) {
            let counted = self.counted_terms([term.clone()].into(), term.topology_key);
            plan.own_preferences.push(Weighted { counted, weight: i64::from(weight) });
        }
    }

    /// The pods for which all of `terms` look, by the domains of `key`.
    fn counted_terms(&mut self, terms: Arc<[PodAffinityTerm]>, key: Symbol) -> Counted {
        let (index, nodes, namespaces) = self.cluster.planning();
        let membership = Membership::LookedFor { owner: self.pod.meta.namespace, terms };
        let set = index.ask(self.template, membership, nodes, namespaces);
        let topology = index.topology(key, nodes);
        Counted { set, table: index.table(set, topology, None), topology }
    }

    /// Takes terms into account that look for the pods and are new.
    fn catch_up_with_terms(&mut self, plan: &mut Plan) {
        let known = self.cluster.index.templates.get(self.template).looked_for_by.clone();
        for &set in known.get(plan.looked_for..).unwrap_or_default() {
            self.plan_others(plan, set);
        }
        plan.looked_for = known.len();
    }

    fn plan_others(&mut self, plan: &mut Plan, set: SetId) {
        let Membership::Carrying { role, term, .. } = &self.cluster.index.sets.get(set).membership else {
            return;
        };
        let (role, key) = (*role, term.topology_key);
        let (index, nodes, _) = self.cluster.planning();
        let topology = index.topology(key, nodes);
        let counted = Counted { set, table: index.table(set, topology, None), topology };
        let Some(plugin) = self.shape.affinity(self.profile) else { return };
        let filters = self.shape.filters(IndexedFilter::Affinity);
        let ignores = plugin.ignore_preferred_of_existing && !affinity::has_preferences(self.pod);
        let scores = self.shape.affinity_weight.is_some() && !ignores;
        let weight = match role {
            Role::RequiredAnti if filters => {
                plan.existing_anti.push(counted);
                return;
            }
            Role::RequiredAnti => return,
            Role::RequiredAffinity => plugin.hard_weight,
            Role::Preferred(weight) => i64::from(weight),
        };
        if scores && weight != 0 {
            plan.others_preferences.push(Weighted { counted, weight });
        }
    }
}
