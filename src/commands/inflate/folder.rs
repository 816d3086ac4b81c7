//! The folder of the trace: node and pod lists, plain or compressed, and published results.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath, Position};
use seatrial_scenarios::inflate::{Machines, Workload};
use seatrial_workloads::openb;

use crate::Refusal;

/// The node list that is filled.
const NODES: &str = "openb_node_list_gpu_node.csv";
/// What the names of pod lists begin with.
const PODS: &str = "openb_pod_list_";
/// Published results.
const EXPECTED: &str = "fgd_expected.csv";
/// Folders of the trace in which lists may lie.
const PLACES: [&str; 3] = ["", "pods", "csv"];
/// No list is larger than so many bytes when it is unpacked.
const SIZE_MAX: u64 = 1 << 28;

/// A folder of the trace.
pub(super) struct Folder {
    nodes: (PathBuf, Vec<u8>),
    pods: BTreeMap<String, PathBuf>,
    names: Vec<String>,
    expected: PathBuf,
}

impl Folder {
    /// Looks what there is, and reads the nodes.
    pub(super) fn open(path: &Path) -> Result<Folder, Refusal> {
        // An error about the folder itself is better than ones about what is missing in it.
        std::fs::read_dir(path).map_err(|error| Refusal(format!("{}: {error}", path.display())))?;
        let mut pods = BTreeMap::new();
        let mut nodes = None;
        for place in PLACES.map(|place| path.join(place)) {
            for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name == NODES {
                    nodes.get_or_insert(entry.path());
                }
                if let Some(workload) = workload_of(&name) {
                    pods.entry(workload.to_owned()).or_insert(entry.path());
                }
            }
        }
        let missing = |what: &str| Refusal(format!("{}: there is no {what} in it", path.display()));
        let nodes = nodes.ok_or_else(|| missing(NODES))?;
        if pods.is_empty() {
            return Err(missing(&format!("{PODS}*.csv or {PODS}*.csv.gz")));
        }
        let bytes = read(&nodes)?;
        let names = pods.keys().cloned().collect();
        Ok(Folder { nodes: (nodes, bytes), pods, names, expected: path.join(EXPECTED) })
    }

    /// The names of the workloads of which there are pod lists.
    pub(super) fn workloads(&self) -> &[String] {
        &self.names
    }

    /// The cluster; what is wrong with it is in `findings`.
    pub(super) fn machines(&self, findings: &mut Diagnostics) -> Option<Machines> {
        let file = self.nodes.0.display().to_string();
        let rows = openb::read_nodes(&file, &self.nodes.1, findings);
        let machines = Machines::new(rows);
        if machines.is_none() && !findings.has_errors() {
            complain(&file, "none of these nodes has a GPU", findings);
        }
        machines
    }

    /// A pod list; what is wrong with it is in `findings`.
    pub(super) fn workload(&self, name: &str, findings: &mut Diagnostics) -> Option<Workload> {
        let path = self.pods.get(name)?;
        let file = path.display().to_string();
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(Refusal(reason)) => {
                complain(&file, &reason, findings);
                return None;
            }
        };
        let before = findings.error_count();
        let workload = Workload::new(name, openb::read_pods(&file, &bytes, findings));
        if workload.is_none() && findings.error_count() == before {
            complain(&file, "none of these pods asks for a GPU", findings);
        }
        workload
    }

    /// Published results, if they are there.
    pub(super) fn expected(&self) -> Result<Option<(String, Vec<u8>)>, Refusal> {
        if !self.expected.exists() {
            return Ok(None);
        }
        Ok(Some((self.expected.display().to_string(), read(&self.expected)?)))
    }
}

fn complain(file: &str, message: &str, findings: &mut Diagnostics) {
    let finding = Diagnostic::error(&file.into(), Position::NONE, &FieldPath::ROOT);
    findings.push(finding.message(message));
}

/// The workload of a pod list by its file name.
fn workload_of(file: &str) -> Option<&str> {
    let name = file.strip_prefix(PODS)?;
    name.strip_suffix(".csv").or_else(|| name.strip_suffix(".csv.gz"))
}

/// Reads a file, unpacked if its name says that it is packed.
fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let failed = |error: std::io::Error| Refusal(format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(failed)?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut bytes = Vec::new();
    reader.take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(Refusal(format!("{}: larger than {} MiB", path.display(), SIZE_MAX >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pod_lists_are_known_by_their_names() {
        assert_eq!(workload_of("openb_pod_list_cpu050.csv.gz"), Some("cpu050"));
        assert_eq!(workload_of("openb_pod_list_default.csv"), Some("default"));
        assert_eq!(workload_of("openb_node_list_all_node.csv"), None);
    }
}
