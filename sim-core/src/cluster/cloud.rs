//! The cloud that machines come from: groups and their instances, stock-outs and quotas, spot capacity
//! that is taken back, and the controller by which a machine that is gone takes its Node along.
//!
//! Model: a request for a machine takes one call of the cloud and then a boot; the call is where it fails.
//! A machine that is given back runs until the cloud has deleted it, and costs money until then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::cloud::{CapacityType, CloudError, CloudReport, CloudRequest, Offer};
use seatrial_api::machine::{Decision, Input, NO_REPLY, Severity};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::{LABEL_HOSTNAME, LABEL_INSTANCE_TYPE, Node, NodeImage};
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::ConditionStatus;
use seatrial_api::request::Request;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, SimTime, Span};
use seatrial_autoscaler::{Autoscaler, ClusterAutoscaler, ClusterAutoscalerOptions, Karpenter};
use seatrial_scheduler::ConfigurationError;
use seatrial_scheduler::snapshot::Snapshot;

use super::config::{AutoscalerConfig, ClusterConfig, NodeSpec};
use super::event::{Cause, What};
use super::nodes::{machine_entity, node_object};
use super::operator::{Drain, Task};
use super::slab::Slab;
use super::streams::Purpose;
use super::world::{Client, World};

/// How often the cloud node controller looks at nodes that are not Ready (`--node-monitor-period`).
const MONITOR_PERIOD: Span = Span::from_secs(5);
/// The label that says how a node is paid for.
const LABEL_CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";

/// The cloud's next step with a machine.
#[derive(Clone, Debug)]
enum Step {
    /// A machine is made, of the first kind that can be had.
    Make { name: Symbol, offers: Arc<[Offer]>, launched: Launched },
    /// A machine that was given back ends.
    End { name: Symbol },
    /// The controller finds that a node has no machine.
    NodeWithoutMachine { node: u32 },
}

/// Whether the one who asked for a machine wants to know what kind it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Launched {
    Reported,
    Silent,
}

/// A group of instances.
#[derive(Clone, Debug)]
struct CloudGroup {
    name: Symbol,
    /// The kinds of its instances, in turn.
    offers: Arc<[Offer]>,
    /// How many instances it has ever had.
    count: u32,
}

/// A machine that the cloud has made or will make.
#[derive(Clone, Copy, Debug)]
struct Instance {
    /// The group that it is of, by its place.
    group: Option<usize>,
    /// The machine, once there is one.
    machine: Option<u32>,
}

/// The cloud.
#[derive(Clone, Debug, Default)]
pub(super) struct Cloud {
    groups: Vec<CloudGroup>,
    instances: BTreeMap<Symbol, Instance>,
    steps: Slab<Step>,
    /// Nodes of which the controller will find that they have no machine.
    without_machine: BTreeSet<u32>,
}

impl Cloud {
    pub(super) fn new(config: &ClusterConfig) -> Cloud {
        let mut cloud = Cloud::default();
        if let Some(AutoscalerConfig::ClusterAutoscaler { groups, .. }) = &config.autoscaler {
            for (index, group) in groups.iter().enumerate() {
                let count = group.instances.len() as u32;
                cloud.groups.push(CloudGroup { name: group.name, offers: group.offers.clone(), count });
                let instance = Instance { group: Some(index), machine: None };
                cloud.instances.extend(group.instances.iter().map(|&name| (name, instance)));
            }
        }
        cloud
    }
}

/// The autoscaler of a configuration, if it has one.
pub(super) fn autoscaler(config: &ClusterConfig) -> Result<Option<Autoscaler>, ConfigurationError> {
    let Some(autoscaler) = &config.autoscaler else { return Ok(None) };
    let snapshot = Snapshot::new(&config.scheduler)?;
    Ok(Some(match autoscaler {
        AutoscalerConfig::ClusterAutoscaler { options, groups } => {
            let options = ClusterAutoscalerOptions::clone(options);
            Autoscaler::Cluster(Box::new(ClusterAutoscaler::new(options, groups.clone(), snapshot)))
        }
        AutoscalerConfig::Karpenter(options) => {
            Autoscaler::Karpenter(Box::new(Karpenter::new(options.clone(), snapshot)))
        }
    }))
}

impl NodeSpec {
    /// Machines like this one, as an autoscaler is offered them.
    pub fn offer(&self, capacity_type: CapacityType) -> Offer {
        let mut template = node_object(self, SimTime::ZERO);
        let labels = template.meta.labels.without(Symbol::new(LABEL_HOSTNAME));
        template.meta = ObjectMeta { labels, ..ObjectMeta::named("", self.pool.as_str()) };
        template.name = self.pool;
        let images = self.images.iter().map(|&name| NodeImage { names: [name].into(), size: Bytes(0) });
        template.images = (!self.images.is_empty()).then(|| images.collect());
        Offer {
            instance_type: template.meta.labels.get(Symbol::new(LABEL_INSTANCE_TYPE)).unwrap_or_default(),
            zone: template.zone(),
            template: Arc::new(template),
            pool: self.pool,
            capacity_type,
            micro_usd_per_hour: self.micro_usd_per_hour,
        }
    }
}

/// The machine that an offer describes.
fn spec_of(offer: &Offer, name: Symbol) -> NodeSpec {
    let template = &offer.template;
    NodeSpec {
        name,
        pool: offer.pool,
        labels: template.meta.labels.with(Symbol::new(LABEL_HOSTNAME), name),
        taints: template.taints().to_vec(),
        capacity: template.capacity.clone(),
        allocatable: template.allocatable.clone(),
        rack: Symbol::empty(),
        micro_usd_per_hour: offer.micro_usd_per_hour,
        images: template.images().iter().flat_map(|image| image.names.iter().copied()).collect(),
    }
}

impl World {
    /// The autoscaler asks for something.
    pub(super) fn ask_cloud(&mut self, now: SimTime, request: CloudRequest, cause: Cause) {
        match request {
            CloudRequest::Increase { group, count } => {
                let Some(group) = self.cloud.groups.iter().position(|one| one.name == group) else { return };
                for _ in 0..count {
                    self.add_instance(now, group, cause);
                }
            }
            CloudRequest::Launch { instance, offers } => {
                self.cloud.instances.insert(instance, Instance { group: None, machine: None });
                let step = Step::Make { name: instance, offers, launched: Launched::Reported };
                self.after_call(now, instance, Span::ZERO, step, cause);
            }
            CloudRequest::Terminate { instance } => self.give_back(now, instance, cause),
        }
    }

    /// A group gets another instance.
    fn add_instance(&mut self, now: SimTime, group: usize, cause: Cause) {
        let one = &mut self.cloud.groups[group];
        let index = one.count;
        one.count += 1;
        let (pool, kinds) = (one.name, one.offers.len().max(1));
        let name = Symbol::new(&format!("{pool}-{index}"));
        let offers: Arc<[Offer]> = one.offers.iter().skip(index as usize % kinds).take(1).cloned().collect();
        self.cloud.instances.insert(name, Instance { group: Some(group), machine: None });
        let step = Step::Make { name, offers, launched: Launched::Silent };
        self.after_call(now, name, Span::ZERO, step, cause);
        let report = CloudReport::Requested { group: pool, instance: name };
        self.tell_autoscaler(now, Input::Cloud(report), cause);
    }

    /// Plans what follows a call of the cloud about a machine, so much later than the call's end.
    fn after_call(&mut self, now: SimTime, name: Symbol, later: Span, step: Step, cause: Cause) {
        let nth = match step {
            Step::Make { .. } => 0,
            Step::End { .. } | Step::NodeWithoutMachine { .. } => 1,
        };
        let stream = || self.streams.of(machine_entity(name), Purpose::CloudApi, nth);
        let call = self.latencies.cloud_api.draw_from(stream);
        let row = self.cloud.steps.insert(step);
        self.plan(now + call + later, What::Cloud(row), cause);
    }

    /// The machine behind an instance.
    fn machine_of_instance(&self, name: Symbol) -> Option<u32> {
        let instance = self.cloud.instances.get(&name)?;
        let machine = instance.machine.or_else(|| {
            // Those of the start were not made here.
            self.machines.named(name).filter(|_| instance.group.is_some())
        });
        machine.filter(|&machine| self.machines.get(machine).present)
    }

    fn give_back(&mut self, now: SimTime, name: Symbol, cause: Cause) {
        if !self.cloud.instances.contains_key(&name) {
            return;
        }
        let later = match self.machine_of_instance(name) {
            Some(_) => {
                let stream = || self.streams.of(machine_entity(name), Purpose::NodeDeletion, 0);
                self.latencies.node_deletion.draw_from(stream)
            }
            None => Span::ZERO,
        };
        self.after_call(now, name, later, Step::End { name }, cause);
    }

    pub(super) fn cloud_step(&mut self, now: SimTime, row: u32, cause: Cause) {
        match self.cloud.steps.take(row) {
            Step::Make { name, offers, launched } => self.make_machine(now, name, &offers, launched, cause),
            Step::End { name } => {
                if let Some(machine) = self.machine_of_instance(name) {
                    self.stop_machine(now, machine, cause);
                    self.look_for_machine_of(now, machine, cause);
                }
                self.forget_instance(now, name, cause);
            }
            Step::NodeWithoutMachine { node } => self.delete_node_without_machine(now, node, cause),
        }
    }

    fn forget_instance(&mut self, now: SimTime, name: Symbol, cause: Cause) {
        if self.cloud.instances.remove(&name).is_some() {
            let report = CloudReport::Terminated { instance: name };
            self.tell_autoscaler(now, Input::Cloud(report), cause);
        }
    }

    fn make_machine(
        &mut self,
        now: SimTime,
        name: Symbol,
        offers: &[Offer],
        launched: Launched,
        cause: Cause,
    ) {
        // It may have been given back meanwhile.
        if !self.cloud.instances.contains_key(&name) {
            return;
        }
        let mut error = CloudError::StockOut;
        for (index, offer) in offers.iter().enumerate() {
            match self.availability_of(now, name, index as u32, offer) {
                Ok(()) => {
                    let machine = self.order_machine(now, Arc::new(spec_of(offer, name)), cause);
                    if let Some(instance) = self.cloud.instances.get_mut(&name) {
                        instance.machine = Some(machine);
                    }
                    if launched == Launched::Reported {
                        let report = CloudReport::Launched { instance: name, offer: index as u32 };
                        self.tell_autoscaler(now, Input::Cloud(report), cause);
                    }
                    return;
                }
                Err(other) => error = other,
            }
        }
        let report = CloudReport::Failed { instance: name, error };
        self.tell_autoscaler(now, Input::Cloud(report), cause);
    }

    /// Whether a machine of this kind can be had now.
    fn availability_of(
        &self,
        now: SimTime,
        name: Symbol,
        index: u32,
        offer: &Offer,
    ) -> Result<(), CloudError> {
        let config = &self.config.cloud;
        for (number, stock_out) in config.stock_outs.iter().enumerate() {
            if !stock_out.concerns(now, offer) {
                continue;
            }
            let nth = index << 8 | number as u32 & 0xFF;
            let mut stream = self.streams.of(machine_entity(name), Purpose::StockOut, nth);
            let chance = stock_out.probability;
            let drawn = stream.below(chance.den.unsigned_abs().max(1));
            if drawn < chance.num.unsigned_abs() {
                return Err(CloudError::StockOut);
            }
        }
        if config.machines_max.is_none() && config.cpu_max.is_none() {
            return Ok(());
        }
        let present = self.machines.iter().filter(|(_, machine)| machine.present);
        let (count, cpu) = present.fold((0, 0), |(count, cpu), (_, machine)| {
            (count + 1, cpu + machine.spec.capacity.amounts.cpu.get())
        });
        let wanted = offer.template.capacity.amounts.cpu.get();
        let fits = config.machines_max.is_none_or(|most| count < most)
            && config.cpu_max.is_none_or(|most| cpu + wanted <= most.get());
        if fits { Ok(()) } else { Err(CloudError::QuotaExceeded) }
    }

    /// Whether a machine may be taken back: if it is paid for as spot capacity, or if nothing is said
    /// about that and it is `named` as a target, by itself or with its pool.
    pub(super) fn is_reclaimable(&self, machine: u32, named: bool) -> bool {
        match self.machines.get(machine).spec.labels.get(Symbol::new(LABEL_CAPACITY_TYPE)) {
            Some(label) => label == CapacityType::Spot.as_str(),
            None => named,
        }
    }

    /// A machine gets the notice that it will be taken back: its node is drained, by the autoscaler where
    /// that knows of such notices, otherwise by a handler on the node.
    pub(super) fn interrupt(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let name = self.machines.get(machine).spec.name;
        let single = self.cloud.instances.get(&name).is_some_and(|instance| instance.group.is_none());
        if single {
            let report = CloudReport::Interrupted { instance: name };
            self.tell_autoscaler(now, Input::Cloud(report), cause);
        } else {
            let task = self.tasks.insert(Task::Drain(Drain::new(name)));
            self.plan(now, What::Operator(task), cause);
        }
    }

    /// A machine is taken back. Its group puts another one in its place.
    pub(super) fn reclaim(&mut self, now: SimTime, machine: u32, cause: Cause) {
        if !self.machines.get(machine).present {
            return;
        }
        self.stop_machine(now, machine, cause);
        self.look_for_machine_of(now, machine, cause);
        self.lose_instance(now, machine, cause);
    }

    /// A machine is gone that its autoscaler has not given back: a group puts another one in its place.
    pub(super) fn lose_instance(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let name = self.machines.get(machine).spec.name;
        let group = self.cloud.instances.get(&name).and_then(|instance| instance.group);
        self.forget_instance(now, name, cause);
        if let Some(group) = group {
            self.add_instance(now, group, cause);
        }
    }

    /// A machine is gone: if its node is known not to be Ready, the controller will look for it.
    fn look_for_machine_of(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let node = self.machines.get(machine).node;
        let unready = node.filter(|&node| {
            self.api.typed::<Node>(node).is_some_and(|node| node.ready() != ConditionStatus::True)
        });
        if let Some(node) = unready {
            self.look_for_machine(now, node, Some(machine), cause);
        }
    }

    /// A node is not Ready. If its machine is gone, the cloud node controller finds out in its next
    /// pass (upstream `cloud-provider/controllers/nodelifecycle`).
    pub(super) fn look_for_machine(&mut self, now: SimTime, node: u32, machine: Option<u32>, cause: Cause) {
        let gone = machine.is_some_and(|machine| !self.machines.get(machine).present);
        if gone && self.cloud.without_machine.insert(node) {
            let passes = now.nanos().div_euclid(MONITOR_PERIOD.nanos()) + 1;
            let at = SimTime::ZERO + MONITOR_PERIOD.times(passes);
            let row = self.cloud.steps.insert(Step::NodeWithoutMachine { node });
            self.plan(at, What::Cloud(row), cause);
        }
    }

    fn delete_node_without_machine(&mut self, now: SimTime, node: u32, cause: Cause) {
        self.cloud.without_machine.remove(&node);
        let Some(object) = self.api.typed::<Node>(node).filter(|node| !node.meta.is_deleting()) else {
            return;
        };
        let message =
            format!("Deleting node {} because it does not exist in the cloud provider", object.name);
        let target = ObjectRef { kind: Kind::Node, id: node };
        let decision = Decision {
            object: target,
            severity: Severity::Normal,
            reason: "DeletingNode",
            container: None,
            message: message.into(),
        };
        let cause = self.decided(now, &decision, cause);
        self.send(now, Client::Cloud, NO_REPLY, Request::delete(target), cause);
    }
}
