//! Pools of machines.

use seatrial_api::document::{FieldPath, Node, Value};
use seatrial_api::scheduling::TaintEffect;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu};

use super::autoscaler::{Autoscale, CapacityWord};
use crate::schema::{
    Definitions, Field, JsonSchema, LabelMap, Name, Placed, Reader, Rule, Text, choice, mapping, nearest,
    one_of, record, text,
};

record! {
    /// A pool of equal machines. They are called after the pool: `worker-0`, `worker-1` and so on.
    pub(crate) struct Pool {
        /// The name of the pool.
        name("name"): Placed<Name>,
        /// How many machines there are at the start.
        count("count"): u32,
        /// What each machine has.
        capacity("capacity"): Option<Placed<Amounts>>,
        /// A machine type of a cloud, in place of capacity and price.
        machine_type("machineType"): Option<Placed<Text>>,
        /// What each machine keeps for its system and kubelet; by default the share that managed clusters keep.
        system_reserved("systemReserved"): Option<Amounts>,
        /// The zones over which the machines are spread, in turn.
        zones("zones"): Vec<Placed<Name>>,
        /// The region, for the label `topology.kubernetes.io/region`.
        region("region"): Option<Name>,
        /// In how many racks the machines of each zone stand. The racks of zone a are a-1, a-2 and so on, those of a pool without zones rack-1, rack-2.
        racks("racks"): Option<u32>,
        /// Further labels.
        labels("labels"): LabelMap,
        /// Taints.
        taints("taints"): Vec<TaintField>,
        /// Bounds within which the Cluster Autoscaler may change the number of machines.
        autoscale("autoscale"): Option<Placed<Autoscale>>,
        /// How the machines are paid for; it becomes the label `karpenter.sh/capacity-type`.
        capacity_type("capacityType"): Option<CapacityWord>,
        /// The price of a machine in dollars per hour.
        price_per_hour("pricePerHour"): Option<Placed<f64>>,
        /// Images that each machine has from the start.
        images("images"): Vec<Text>,
    }
    rules [Rule::ExactlyOne(&["capacity", "machineType"])]
}

record! {
    /// A taint.
    pub(crate) struct TaintField {
        /// The key.
        key("key"): Text,
        /// The value.
        value("value"): Option<Text>,
        /// What it does to pods that do not tolerate it.
        effect("effect"): EffectWord,
    }
}

choice! {
    /// What a taint does to pods that do not tolerate it.
    pub(crate) enum EffectWord {
        /// They are not placed there.
        NoSchedule = "NoSchedule",
        /// They are placed there only if there is no other place.
        PreferNoSchedule = "PreferNoSchedule",
        /// They are not placed there, and evicted if they are there.
        NoExecute = "NoExecute",
    }
}

impl EffectWord {
    pub(crate) fn effect(self) -> TaintEffect {
        match self {
            EffectWord::NoSchedule => TaintEffect::NoSchedule,
            EffectWord::PreferNoSchedule => TaintEffect::PreferNoSchedule,
            EffectWord::NoExecute => TaintEffect::NoExecute,
        }
    }
}

/// Amounts of resources by their Kubernetes names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Amounts {
    pub(crate) cpu: Option<MilliCpu>,
    pub(crate) memory: Option<Bytes>,
    pub(crate) ephemeral_storage: Option<Bytes>,
    pub(crate) pods: Option<u32>,
    /// Extended resources and huge pages.
    pub(crate) others: Vec<(Symbol, i64)>,
}

const RESOURCES: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "pods"];

impl Field for Amounts {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Amounts> {
        let Some(mapping) = node.as_mapping() else {
            return reader.wrong(
                node,
                path,
                "a mapping of resources such as {cpu: 4, memory: 16Gi, pods: 110}",
            );
        };
        let mut amounts = Amounts::default();
        let mut kept = true;
        for entry in mapping.entries() {
            let (at, value) = (path.key(&entry.key), &entry.value);
            let read = match entry.key.as_str() {
                "cpu" => MilliCpu::read(value, &at, reader).map(|cpu| amounts.cpu = Some(cpu)),
                "memory" => Bytes::read(value, &at, reader).map(|memory| amounts.memory = Some(memory)),
                "ephemeral-storage" => {
                    Bytes::read(value, &at, reader).map(|bytes| amounts.ephemeral_storage = Some(bytes))
                }
                "pods" => u32::read(value, &at, reader).map(|pods| amounts.pods = Some(pods)),
                name if name.contains('/') || name.starts_with("hugepages-") => {
                    Bytes::read(value, &at, reader)
                        .map(|amount| amounts.others.push((Symbol::new(name), amount.get())))
                }
                unknown => {
                    let near = nearest(unknown, RESOURCES);
                    reader.error(entry.position, &at, |error| {
                        let expected =
                            format!("{}, or an extended resource such as nvidia.com/gpu", one_of(&RESOURCES));
                        let error = error.message("there is no such resource").expected(expected, unknown);
                        near.into_iter()
                            .fold(error, |error, near| error.hint(format!("did you mean {near}?")))
                    });
                    None
                }
            };
            kept &= read.is_some();
        }
        kept.then_some(amounts)
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        definitions.shared("Amounts", |definitions| {
            let fields = [
                ("cpu", MilliCpu::schema(definitions).described("CPU.")),
                ("memory", Bytes::schema(definitions).described("Memory.")),
                ("ephemeral-storage", Bytes::schema(definitions).described("Local storage.")),
                ("pods", u32::schema(definitions).described("Places for pods.")),
            ];
            let extended = mapping([("^hugepages-|/", Bytes::schema(definitions).into_value())]);
            JsonSchema::of_type("object")
                .described("Amounts of resources by their Kubernetes names: these, and extended resources such as nvidia.com/gpu or hugepages-2Mi.")
                .with("properties", mapping(fields.map(|(key, schema)| (key, schema.into_value()))))
                .with("patternProperties", extended)
                .with("additionalProperties", Value::Bool(false))
                .with(
                    "examples",
                    crate::schema::list([mapping([("cpu", Value::Int(4)), ("memory", text("16Gi"))])]),
                )
        })
    }
}
