//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Takes a Kubernetes cluster to sea before the cluster goes to sea.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Examples:
  seatrial run scenarios/library/zone-loss.yaml           play a scenario, check what it expects
  seatrial run --manifests shop.yaml --nodes 6 --for 1h   play manifests on a cluster of six nodes
  kubectl get nodes,pods,deployments,replicasets -A -o yaml > state.yaml
  seatrial run --state state.yaml --for 30m               go on from the cluster that you have
  seatrial test scenarios/library                         play all scenarios, a line for each
  seatrial explain results/ shop/cart-7d9f8-x2k4p         why is this pod where it is?"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play a scenario, manifests or the state of a running cluster, and show what happened
    Run(RunArguments),
    /// Play scenarios and say for each whether it meets its expectations
    Test(TestArguments),
    /// Say why a pod is where it is, or why it is pending
    Explain(ExplainArguments),
    /// Find the first event in which two runs differ
    Diff(DiffArguments),
    /// Play a scenario for every combination of factors and every seed, on all cores
    Sweep(SweepArguments),
    /// Say of the runs of a sweep whether they really differ
    Compare(CompareArguments),
    /// The scheduling policies: which there are, and what each does
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Place the pods of recorded scheduler cases and write every decision
    Schedule(ScheduleArguments),
    /// Compare with what real Kubernetes was recorded to do
    Parity(ParityArguments),
    /// Print the JSON Schema of scenario and experiment files, for editors
    Schema,
    /// Fill the openb GPU cluster by policies and compare with the published results
    Inflate(InflateArguments),
    /// Measure speed and memory against reference loops
    Bench(BenchArguments),
}

/// What is asked about policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the policies, a line for each
    List,
    /// Say what a policy does: its formula, its source, its parameters
    Show {
        /// The policy
        name: String,
    },
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For machines
    Json,
}

/// Where the input comes from, and what is changed about it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InputArguments {
    /// Kubernetes manifests: a file, a folder, or - for stdin; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) manifests: Vec<PathBuf>,
    /// Objects of a running cluster, as `kubectl get ... -A -o yaml` prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// How many nodes, without a scenario file that says it
    #[arg(long, value_name = "COUNT")]
    pub(crate) nodes: Option<u32>,
    /// How long, in virtual time: 90s, 30m, 1h30m, 2d
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) duration: Option<String>,
    /// The seed of all randomness; another seed is another run
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// The Kubernetes version whose behaviour is played: 1.34 or 1.36
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes_version: Option<String>,
    /// Call the extenders of the scheduler's configuration; what comes of it cannot be reproduced
    #[arg(long)]
    pub(crate) allow_extender_calls: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial run scenarios/library/zone-loss.yaml --out results/
  seatrial run --manifests deploy/ --manifests extra.yaml --nodes 12 --for 2h
  helm template ./chart | seatrial run --manifests - --for 30m
  seatrial run scenarios/library/node-crash.yaml --seed 7 --format json | jq .expectations")]
pub(crate) struct RunArguments {
    /// The scenario file
    #[arg(required_unless_present_any = ["manifests", "state"])]
    pub(crate) scenario: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArguments,
    /// Write the results folder here: tables, plots, report.html
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Keep the engine's events in the results folder (trace.bin), for `seatrial diff`
    #[arg(long, requires = "out")]
    pub(crate) trace: bool,
    /// Check the cluster's invariants after every event (slower)
    #[arg(long)]
    pub(crate) check: bool,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial test scenarios/library
  seatrial test my-scenario.yaml --seed 3")]
pub(crate) struct TestArguments {
    /// Scenario files, or folders of them
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Play all with this seed
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial run scenarios/library/batch-burst.yaml --out results/
  seatrial explain results/ batch/report-0")]
pub(crate) struct ExplainArguments {
    /// A results folder
    pub(crate) results: PathBuf,
    /// The pod: its name, or namespace/name
    pub(crate) pod: String,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial diff results-a/ results-b/        two runs that were written with --trace
  seatrial diff before.yaml after.yaml       two scenarios, played now")]
pub(crate) struct DiffArguments {
    /// A results folder with a trace, or a scenario file
    pub(crate) a: PathBuf,
    /// Another one
    pub(crate) b: PathBuf,
}

/// Arguments of `schedule`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial schedule tests/golden/scheduler.jsonl.gz --out decisions.jsonl
  seatrial schedule cases.jsonl | jq '.decisions[] | {pod, outcome, node}'
  seatrial schedule cases.jsonl --kubernetes-version 1.34

A case is a line of JSON: `nodes`, `existingPods`, `objects`, `pods`, and a
KubeSchedulerConfiguration as `config`. Every node is filtered and scored, and
the first in name order wins a tie.")]
pub(crate) struct ScheduleArguments {
    /// Files of cases, plain or gzip, or folders of them
    #[arg(required = true)]
    pub(crate) cases: Vec<PathBuf>,
    /// Write the decisions here instead of to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The Kubernetes version whose behaviour is played: 1.34 or 1.36
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes_version: Option<String>,
}

/// Arguments of `parity`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial parity tests/golden/scheduler.jsonl.gz          a table by feature, 100 % or exit code 1
  seatrial parity recordings/ --all                        every difference, not one for each case
  seatrial parity tests/golden/ --format json | jq .kinds
  seatrial parity cases.jsonl --out answers.jsonl          what is answered here, line by line

After each pod the cluster goes on from what was recorded, so one miss does not
lead to others. A case of the table is in the row of each of its features.")]
pub(crate) struct ParityArguments {
    /// Files of recordings, plain or gzip, or folders of them
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Write what is answered here, a line for each line that was read
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Print every difference, not only the first of each recording
    #[arg(long)]
    pub(crate) all: bool,
    /// The Kubernetes version whose behaviour is played: 1.34 or 1.36
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes_version: Option<String>,
}

/// Arguments of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial sweep scenarios/experiments/packing-vs-spreading.yaml --out runs.csv
  seatrial compare runs.csv --by policy")]
pub(crate) struct SweepArguments {
    /// The experiment file
    pub(crate) experiment: PathBuf,
    /// Write the table here, and not to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How many threads play runs; all cores if absent. The table is the same with any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial compare runs.csv --by policy
  seatrial compare runs.csv --by nodes.worker.count --baseline 8 --format json")]
pub(crate) struct CompareArguments {
    /// The table of a sweep
    pub(crate) table: PathBuf,
    /// The factor whose levels are compared; runs are paired by seed and by all other factors
    #[arg(long, value_name = "FACTOR")]
    pub(crate) by: String,
    /// The level that all others are compared with; the first in the table if absent
    #[arg(long, value_name = "LEVEL")]
    pub(crate) baseline: Option<String>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial bench              all of them
  seatrial bench cluster      one of them
  seatrial bench --format json")]
pub(crate) struct BenchArguments {
    /// Which: engine, scheduler, workload-k, cluster, idle; all if absent
    pub(crate) name: Option<String>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Arguments of `inflate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seatrial inflate --data openb/                                   the published table
  seatrial inflate --data openb/ --workloads default --policies BestFit,FGD
  seatrial inflate --data openb/ --workloads all --out results.csv
  seatrial inflate --data openb/ --policies first-fit,fgd --seeds 1..3")]
pub(crate) struct InflateArguments {
    /// The folder of the trace: openb_node_list_gpu_node.csv, pod lists, fgd_expected.csv
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Pod lists by name, as in default,cpu050; all for all of them; the 17 published ones if absent
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) workloads: Vec<String>,
    /// Policies, as the published tables or `seatrial policy list` name them; the six published ones
    /// if absent
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) policies: Vec<String>,
    /// Seeds: a range with both ends, or a list
    #[arg(long, value_name = "SEEDS", default_value = "42..51")]
    pub(crate) seeds: Seeds,
    /// How many threads play runs; all cores if absent. The results are the same with any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// Write the results here, in the columns of fgd_expected.csv
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Seeds of runs that are compared, at least one, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

/// So many runs of one kind are enough for anybody.
const SEEDS_MAX: u64 = 10_000;

impl std::str::FromStr for Seeds {
    type Err = String;

    /// Reads `42..51`, both ends included, or `1,2,5`.
    fn from_str(text: &str) -> Result<Seeds, String> {
        let expected = || "expected a range such as 42..51, or numbers such as 1,2,5".to_owned();
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| expected());
        let Some((first, last)) = text.split_once("..") else {
            let mut seeds = text.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
            seeds.sort_unstable();
            seeds.dedup();
            return Ok(Seeds(seeds));
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last - first >= SEEDS_MAX {
            return Err(format!(
                "expected the first seed not above the last, and at most {SEEDS_MAX} of them"
            ));
        }
        Ok(Seeds((first..=last).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_with_both_ends_or_a_list() {
        let read = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(read("42..44"), Ok(vec![42, 43, 44]));
        assert_eq!(read("7"), Ok(vec![7]));
        assert_eq!(read("5, 1,5"), Ok(vec![1, 5]));
        for wrong in ["", "a", "3..1", "1..", "0..99999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
