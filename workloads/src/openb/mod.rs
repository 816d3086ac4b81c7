//! The `openb` trace: a production GPU cluster of Alibaba, with pods that share GPUs.
//!
//! Node and pod lists as in hkust-adsl/kubernetes-scheduler-simulator, `data/csv` (also
//! alibaba/clusterdata, `cluster-trace-gpu-v2023/csv`), published with Q. Weng et al., "Beware of
//! Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent" (USENIX ATC
//! 2023). Objects are made of them as by the authors' `data/pod_csv_to_yaml.py`.

mod objects;

use compact_str::CompactString;
use seatrial_api::document::Diagnostics;
use seatrial_api::gpu::{DEVICES_MAX, GpuRequest, WHOLE_GPU, accepted_models};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu};

use crate::csv::{Column, Csv, Row};

pub use objects::{node, pod_spec};

/// A machine of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// `sn`.
    pub name: CompactString,
    /// `cpu_milli`.
    pub cpu: MilliCpu,
    /// `memory_mib`.
    pub memory: Bytes,
    /// `gpu`: how many it has.
    pub gpus: u8,
    /// `model`; empty without GPU.
    pub model: Symbol,
}

/// A pod of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRow {
    /// `name`.
    pub name: CompactString,
    /// What it asks for. Pods of the trace come in few kinds.
    pub kind: PodKind,
}

/// What a pod of the trace asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodKind {
    /// `cpu_milli`.
    pub cpu: MilliCpu,
    /// `memory_mib`.
    pub memory: Bytes,
    /// `num_gpu`, `gpu_milli` and `gpu_spec`.
    pub gpu: Option<GpuRequest>,
}

impl PodKind {
    /// Thousandths of a GPU in all.
    pub fn gpu_milli(&self) -> i64 {
        self.gpu.as_ref().map_or(0, GpuRequest::total_milli)
    }
}

/// The largest amount that is believed, in thousandths or MiB: a thousand times the largest machine.
const AMOUNT_MAX: i64 = 1 << 30;

/// Reads a list of nodes. What is wrong with it is in `findings`.
pub fn read_nodes(file: &str, bytes: &[u8], findings: &mut Diagnostics) -> Vec<NodeRow> {
    let Some(csv) = Csv::read(file, bytes, findings) else { return Vec::new() };
    let columns = ["sn", "cpu_milli", "memory_mib", "gpu", "model"].map(|name| csv.column(name, findings));
    let [Some(name), Some(cpu), Some(memory), Some(gpu), Some(model)] = columns else { return Vec::new() };
    let mut nodes = Vec::new();
    for row in csv.rows() {
        let cpu = row.number(cpu, 1..=AMOUNT_MAX, findings);
        let memory = row.number(memory, 1..=AMOUNT_MAX, findings);
        let gpus = row.number(gpu, 0..=i64::from(DEVICES_MAX), findings);
        let read_name = read_name(&row, name, findings);
        let (Some(name), Some(cpu), Some(memory), Some(gpus)) = (read_name, cpu, memory, gpus) else {
            continue;
        };
        nodes.push(NodeRow {
            name,
            cpu: MilliCpu(cpu),
            memory: Bytes(memory << 20),
            gpus: gpus as u8,
            model: Symbol::new(row.text(model)),
        });
    }
    nodes
}

/// Reads a list of pods. What is wrong with it is in `findings`.
pub fn read_pods(file: &str, bytes: &[u8], findings: &mut Diagnostics) -> Vec<PodRow> {
    let Some(csv) = Csv::read(file, bytes, findings) else { return Vec::new() };
    let columns =
        ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"].map(|name| csv.column(name, findings));
    let [Some(name), Some(cpu), Some(memory), Some(count), Some(milli)] = columns else { return Vec::new() };
    // Some lists end after gpu_milli.
    let models = csv.find("gpu_spec");
    let mut pods = Vec::new();
    for row in csv.rows() {
        let cpu = row.number(cpu, 0..=AMOUNT_MAX, findings);
        let memory = row.number(memory, 0..=AMOUNT_MAX, findings);
        let gpu = read_gpu(&row, count, milli, findings);
        let read_name = read_name(&row, name, findings);
        let (Some(name), Some(cpu), Some(memory), Some(mut gpu)) = (read_name, cpu, memory, gpu) else {
            continue;
        };
        if let (Some(request), Some(models)) = (&mut gpu, models) {
            request.models = accepted_models(row.text(models));
        }
        let kind = PodKind { cpu: MilliCpu(cpu), memory: Bytes(memory << 20), gpu };
        pods.push(PodRow { name, kind });
    }
    pods
}

fn read_name(row: &Row<'_>, column: Column, findings: &mut Diagnostics) -> Option<CompactString> {
    let name = row.text(column);
    if name.is_empty() {
        row.refuse(column, "a name", findings);
        return None;
    }
    Some(name.into())
}

/// What a pod asks of GPUs; the outer `None` if that makes no sense.
fn read_gpu(
    row: &Row<'_>,
    count: Column,
    milli: Column,
    findings: &mut Diagnostics,
) -> Option<Option<GpuRequest>> {
    let number = row.number(count, 0..=i64::from(DEVICES_MAX), findings);
    let share = row.number(milli, 0..=i64::from(WHOLE_GPU), findings);
    let expected = match (number?, share?) {
        (0, 0) => return Some(None),
        (0, _) => "0 without GPU",
        (_, 0) => "1 to 1000 thousandths of each GPU",
        (2.., ..1000) => "1000 for several GPUs",
        (number, share) => return Some(Some(GpuRequest::new(number as u8, share as u16))),
    };
    row.refuse(milli, expected, findings);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_by_the_names_of_their_columns() {
        let mut findings = Diagnostics::new();
        let nodes = b"sn,cpu_milli,memory_mib,gpu,model\nn0,64000,262144,2,P100\nn1,32000,1024,0,\n";
        let nodes = read_nodes("nodes.csv", nodes, &mut findings);
        assert_eq!((nodes[0].gpus, nodes[0].model.as_str()), (2, "P100"));
        assert_eq!((nodes[1].gpus, nodes[1].memory), (0, Bytes(1 << 30)));
        let pods = b"name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\np0,6000,12288,1,460,,LS\n\
            p1,1000,0,0,0,,BE\np2,8000,100,2,1000,V100M32|T4,LS\n";
        let pods = read_pods("pods.csv", pods, &mut findings);
        let gpus: Vec<i64> = pods.iter().map(|pod| pod.kind.gpu_milli()).collect();
        assert_eq!(gpus, [460, 0, 2000]);
        let models = &pods[2].kind.gpu.as_ref().unwrap().models;
        assert_eq!(models.iter().map(|model| model.as_str()).collect::<Vec<_>>(), ["V100M32", "T4"]);
        let short = read_pods(
            "short.csv",
            b"name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,1,1000\n",
            &mut findings,
        );
        assert_eq!(short.len(), 1);
        assert!(findings.is_empty());
    }

    #[test]
    fn every_bad_field_is_reported_with_its_place() {
        let mut findings = Diagnostics::new();
        let pods =
            b"name,cpu_milli,memory_mib,num_gpu,gpu_milli\n,1,1,0,0\na,x,1,0,0\nb,1,1,2,500\nc,1,1,1,1001\n";
        assert!(read_pods("p.csv", pods, &mut findings).is_empty());
        let places: Vec<String> =
            findings.iter().map(|finding| format!("{} {}", finding.position, finding.path)).collect();
        assert_eq!(places, ["2:1 name", "3:3 cpu_milli", "4:9 gpu_milli", "5:9 gpu_milli"]);
    }
}
