//! `seatrial inflate`, as a user meets it: a small trace of our own, played and compared; and, where the
//! real trace is there, a part of the published table.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("inflate").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("pods")).expect("a folder for the test");
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file for the test");
}

/// A cluster of ten nodes and two lists of pods.
fn small_trace(folder: &Path) {
    let nodes = (0..10).map(|index| format!("node-{index},64000,262144,{},T4\n", 1 + index % 4));
    let header = "sn,cpu_milli,memory_mib,gpu,model\n";
    write(folder, "openb_node_list_gpu_node.csv", &(header.to_owned() + &nodes.collect::<String>()));
    let header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n";
    let pods = |milli: u32| -> String {
        let kinds = [format!("1,{milli}"), "2,1000".to_owned(), "0,0".to_owned(), "1,1000".to_owned()];
        let pod = |index: usize| format!("pod-{index:02},{},1024,{},,LS\n", 1000 + index, kinds[index % 4]);
        header.to_owned() + &(0..24).map(pod).collect::<String>()
    };
    write(folder, "openb_pod_list_default.csv", &pods(400));
    write(&folder.join("pods"), "openb_pod_list_gpushare40.csv", &pods(700));
}

fn inflate(data: &Path, arguments: &[&str], threads: u32) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seatrial"))
        .args(["inflate", "--data"])
        .arg(data)
        .args(arguments)
        .args(["--threads", &threads.to_string()])
        .output()
        .expect("the program can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_table_is_the_same_with_any_number_of_threads() {
    let folder = folder("threads");
    small_trace(&folder);
    let table = |threads| {
        let out = folder.join(format!("{threads}.csv"));
        let output = inflate(&folder, &["--out", out.to_str().expect("a plain path")], threads);
        assert!(text(&output.stderr).contains("120 runs"), "{}", text(&output.stderr));
        (std::fs::read_to_string(out).expect("the table"), text(&output.stdout))
    };
    let (one, answer) = table(1);
    assert_eq!((one.clone(), answer.clone()), table(4));
    assert!(one.starts_with("workload,policy,arrived_gpu_pct,runs,alloc_pct_mean,"));
    assert!(one.contains("\ngpushare40,FGD,100,"), "{one}");
    assert!(answer.contains("no published results in this folder"), "{answer}");
}

#[test]
fn results_that_are_not_the_published_ones_fail() {
    let folder = folder("compared");
    small_trace(&folder);
    let arguments = ["--workloads", "default", "--policies", "BestFit,random"];
    let out = folder.join("fgd_expected.csv");
    let written = inflate(&folder, &[&arguments[..], &["--out", out.to_str().unwrap()]].concat(), 1);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    let same = inflate(&folder, &arguments, 1);
    assert_eq!(same.status.code(), Some(0));
    assert!(text(&same.stdout).starts_with("passed: "), "{}", text(&same.stdout));
    let table = std::fs::read_to_string(&out).unwrap();
    let row = table.lines().find(|line| line.starts_with("default,BestFit,100,")).expect("a row");
    let fields: Vec<&str> = row.split(',').collect();
    let higher = row.replacen(fields[4], "150.0", 1);
    write(&folder, "fgd_expected.csv", &table.replace(row, &higher));
    let other = inflate(&folder, &arguments, 1);
    assert_eq!(other.status.code(), Some(1));
    let told = text(&other.stdout);
    assert!(
        told.starts_with("FAILED: ") && told.contains("allocation of default under BestFit at 100 %"),
        "{told}"
    );
}

#[test]
fn bad_input_is_refused_with_its_place() {
    let folder = folder("bad");
    small_trace(&folder);
    let refused = |arguments: &[&str], expected: &[&str]| {
        let output = inflate(&folder, arguments, 1);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(output.stdout.is_empty());
        for expected in expected {
            assert!(told.contains(expected), "{expected} in {told}");
        }
    };
    refused(&["--workloads", "cpu051"], &["there is no workload cpu051", "default, gpushare40"]);
    refused(&["--policies", "fdg"], &["there is no policy fdg", "FGD"]);
    refused(&["--seeds", "9..1"], &["9..1"]);
    write(&folder, "fgd_expected.csv", "workload,policy\n");
    refused(&[], &["fgd_expected.csv:1:1: arrived_gpu_pct: expected a column named arrived_gpu_pct"]);
    write(
        &folder,
        "openb_pod_list_default.csv",
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,3,10\nq,x,1,0,0\n",
    );
    refused(
        &[],
        &[
            "openb_pod_list_default.csv:2:9: gpu_milli: expected 1000 for several GPUs, found \"10\"",
            "openb_pod_list_default.csv:3:3: cpu_milli: expected a whole number",
        ],
    );
    std::fs::write(folder.join("pods/openb_pod_list_cpu050.csv.gz"), b"no gzip").unwrap();
    refused(&["--workloads", "cpu050"], &["openb_pod_list_cpu050.csv.gz"]);
    std::fs::remove_file(folder.join("openb_node_list_gpu_node.csv")).unwrap();
    refused(&[], &["openb_node_list_gpu_node.csv"]);
}

/// A part of the published table, small enough for every commit: packing baseline and FGD.
#[test]
fn fgd_comes_out_as_published() {
    let root = std::env::var("SEATRIAL_DATA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let data = root.join("openb");
    if !data.is_dir() {
        println!("skipped: needs the openb trace in SEATRIAL_DATA");
        return;
    }
    let arguments = ["--workloads", "default", "--policies", "BestFit,FGD", "--seeds", "42..44"];
    let output = inflate(&data, &arguments, 2);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text(&output.stderr));
    assert!(told.starts_with("passed: 72 of 72 means"), "{told}");
    assert!(told.contains("FGD first at 100 % on 1 of 1"), "{told}");
}
