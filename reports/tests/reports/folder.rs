//! The results folder: whole or not at all, readable by other programs, free of secrets.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use seatrial_api::units::Span;
use seatrial_reports::directory::{self, InputFile, WriteError};
use seatrial_sim_core::results::{EventType, Results};

use crate::made_up::{Size, at, empty, event, outcomes, pod, report, zone_loss};

/// A folder of its own for each test.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reports").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

fn small() -> Results {
    zone_loss(Size { nodes: 6, deployments: 2, replicas: 5 })
}

fn write(folder: &Path, results: &Results) -> Result<(), WriteError> {
    directory::write(folder, &report(results, &outcomes()), &[], None)
}

/// Every file below `folder` by its path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").display().to_string();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_run_leaves_the_promised_files_and_nothing_beside_them() {
    let scratch = scratch("promised");
    let folder = scratch.join("deep/er/out");
    let inputs = [
        InputFile { name: "scenario.yaml", content: b"kind: Scenario\n" },
        InputFile { name: "manifests/shop.yaml", content: b"kind: Service\n" },
    ];
    let results = small();
    directory::write(&folder, &report(&results, &[]), &inputs, Some(b"trace")).expect("written");
    let expected = [
        "events.csv",
        "inputs/manifests/shop.yaml",
        "inputs/scenario.yaml",
        "nodes.csv",
        "plots/availability.png",
        "plots/availability.svg",
        "plots/deployments.png",
        "plots/deployments.svg",
        "plots/nodes.png",
        "plots/nodes.svg",
        "plots/pods.png",
        "plots/pods.svg",
        "plots/resources.png",
        "plots/resources.svg",
        "pods.csv",
        "report.html",
        "services.csv",
        "summary.json",
        "timeseries.csv",
        "trace.bin",
    ];
    let found = files(&folder);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected);
    assert_eq!(found["inputs/scenario.yaml"], b"kind: Scenario\n");
    assert_eq!(names(&scratch.join("deep/er")), ["out"]);
}

#[test]
fn equal_results_give_equal_bytes_but_for_the_cpu_time() {
    let scratch = scratch("equal");
    let results = small();
    let mut other = report(&results, &[]);
    directory::write(&scratch.join("a"), &other, &[], None).expect("written");
    other.cpu = Span::from_secs(99);
    directory::write(&scratch.join("b"), &other, &[], None).expect("written");
    let (mut a, mut b) = (files(&scratch.join("a")), files(&scratch.join("b")));
    for side in [&mut a, &mut b] {
        let text = String::from_utf8(side["summary.json"].clone()).expect("text");
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains("\"cpu_s\"")).collect();
        side.insert("summary.json".to_owned(), kept.join("\n").into_bytes());
    }
    for (name, content) in &a {
        assert!(b[name] == *content, "{name} differs");
    }
    assert_eq!(a.len(), b.len());
}

#[test]
fn earlier_results_are_replaced_whole() {
    let folder = scratch("replaced").join("out");
    let results = small();
    directory::write(&folder, &report(&results, &[]), &[], Some(b"old")).expect("written");
    write(&folder, &empty("second")).expect("written again");
    let found = files(&folder);
    assert!(!found.contains_key("trace.bin"), "the earlier trace would not belong to this run");
    assert!(String::from_utf8_lossy(&found["summary.json"]).contains("\"name\": \"second\""));
}

#[test]
fn a_folder_with_anything_else_in_it_is_refused_and_left_alone() {
    let scratch = scratch("refused");
    let (file, notes, kept) = (scratch.join("file"), scratch.join("notes"), scratch.join("kept"));
    fs::write(&file, "x").expect("a file");
    fs::create_dir(&notes).expect("a folder");
    fs::write(notes.join("todo.txt"), "x").expect("a file");
    write(&kept, &small()).expect("written");
    fs::write(kept.join("analysis.ipynb"), "x").expect("a file");
    let before = files(&scratch);
    for (folder, part) in [
        (&file, "is a file"),
        (&notes, "holds 'todo.txt', which is not part of a run's results"),
        (&kept, "holds 'analysis.ipynb'"),
    ] {
        let checked = directory::check(folder).expect_err("refused").to_string();
        assert!(checked.contains(part), "{checked}");
        assert_eq!(write(folder, &empty("x")).expect_err("refused").to_string(), checked);
    }
    assert_eq!(files(&scratch), before);
    assert!(directory::check(&scratch.join("new")).is_ok());
}

#[test]
fn a_failure_half_way_leaves_what_was_there() {
    let scratch = scratch("half-way");
    let folder = scratch.join("out");
    write(&folder, &small()).expect("written");
    let before = files(&scratch);
    // The second input needs a folder where the first one is a file.
    let inputs = [InputFile { name: "a", content: b"" }, InputFile { name: "a/b", content: b"" }];
    let error = directory::write(&folder, &report(&empty("x"), &[]), &inputs, None).expect_err("refused");
    assert!(matches!(error, WriteError::Io { .. }), "{error}");
    assert_eq!(files(&scratch), before);
    let fresh = scratch.join("fresh");
    directory::write(&fresh, &report(&empty("x"), &[]), &inputs, None).expect_err("refused");
    assert!(!fresh.exists());
    assert_eq!(names(&scratch), ["out"]);
}

#[test]
fn names_of_inputs_cannot_lead_out_of_the_folder() {
    let folder = scratch("names").join("out");
    for name in ["", "/etc/x", "../x", "a/../../x", "./a/../.."] {
        let inputs = [InputFile { name, content: b"" }];
        let error = directory::write(&folder, &report(&empty("x"), &[]), &inputs, None).expect_err(name);
        assert!(matches!(error, WriteError::InputName(_)), "{error}");
    }
    let twice = [InputFile { name: "a", content: b"" }, InputFile { name: "a", content: b"" }];
    directory::write(&folder, &report(&empty("x"), &[]), &twice, None).expect_err("twice");
    assert!(!folder.exists());
}

fn rows(folder: &Path, name: &str) -> Vec<Vec<String>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).from_path(folder.join(name)).expect("a file");
    let rows = reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect());
    rows.collect()
}

#[test]
fn the_columns_of_the_csv_files_are_those_that_scripts_rely_on() {
    let folder = scratch("columns").join("out");
    let results = small();
    write(&folder, &results).expect("written");
    let header = |name: &str| rows(&folder, name)[0].join(",");
    assert_eq!(header("events.csv"), "time_s,kind,namespace,name,type,reason,message,cause");
    assert!(header("pods.csv").starts_with(
        "namespace,name,owner,node,phase,created_s,scheduled_s,started_s,ready_s,finished_s,restarts,\
         cpu_request_millicores,memory_request_bytes,reason"
    ));
    assert_eq!(header("timeseries.csv"), "time_s,metric,object,value");
    assert_eq!(header("services.csv"), "namespace,name,availability_pct,down_s,wanted_s");
    assert!(header("nodes.csv").starts_with("name,pool,zone,cpu_allocatable_millicores,"));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results.md");
    let page = fs::read_to_string(page).expect("the page on results");
    for name in ["events.csv", "pods.csv", "nodes.csv", "timeseries.csv", "services.csv"] {
        assert!(page.contains(&format!("`{}`", header(name))), "docs/results.md tells the columns of {name}");
    }
    assert_eq!(rows(&folder, "events.csv").len(), results.event_rows.len() + 1);
    assert_eq!(rows(&folder, "pods.csv").len(), results.pods.len() + 1);
    assert_eq!(rows(&folder, "nodes.csv").len(), results.nodes.len() + 1);
    let points: usize = results.series.iter().map(|series| series.points.len()).sum();
    assert_eq!(rows(&folder, "timeseries.csv").len(), points + 1);
    for name in ["events.csv", "pods.csv", "nodes.csv", "timeseries.csv", "services.csv"] {
        let all = rows(&folder, name);
        assert!(all.iter().all(|row| row.len() == all[0].len()), "{name}");
    }
}

#[test]
fn what_is_hard_to_quote_is_read_back_as_it_was() {
    let folder = scratch("quotes").join("out");
    let mut results = empty("\"quoted\", <b>bold</b>");
    let message = "a \"quote\", a comma,\na line break, a tab\t, ünïcode and 'more'\r\nend";
    let name = "</script><script>alert(1)</script>";
    event(&mut results, at(1_500), "Pod", "shop", name, EventType::Warning, "Odd", message, None);
    event(&mut results, at(-250), "Pod", "shop", name, EventType::Modified, "", "", Some(0));
    let mut odd = pod(name, at(-250), &None);
    odd.message = message.into();
    results.pods.push(odd);
    write(&folder, &results).expect("written");
    let read = directory::read(&folder).expect("read back");
    assert_eq!(read.events[0].message, message);
    assert_eq!(read.events[0].name, name);
    assert_eq!((read.events[0].time, read.events[1].time), (at(1_500), at(-250)));
    assert_eq!((read.events[0].cause, read.events[1].cause), (None, Some(0)));
    assert_eq!(read.pods[0].message, message);
}

#[test]
fn a_folder_that_cannot_be_understood_is_an_error_that_names_the_place() {
    let folder = scratch("unreadable").join("out");
    let error = directory::read(&folder).expect_err("nothing is there").to_string();
    assert!(error.ends_with("is not a results folder: it has no summary.json"), "{error}");
    write(&folder, &small()).expect("written");
    fs::write(folder.join("events.csv"), "time_s,kind,namespace,name,type,reason,message\n").expect("a file");
    let error = directory::read(&folder).expect_err("a column is missing").to_string();
    assert!(error.ends_with("events.csv: there is no column 'cause'"), "{error}");
    let broken = "time_s,kind,namespace,name,type,reason,message,cause\nsoon,Pod,,a,Added,,,\n";
    fs::write(folder.join("events.csv"), broken).expect("a file");
    let error = directory::read(&folder).expect_err("no number").to_string();
    assert!(error.ends_with("events.csv: line 2: 'soon' is not a time in seconds"), "{error}");
}

const SECRETS: &str = r#"
apiVersion: v1
kind: Secret
metadata:
  name: db
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"v1","kind":"Secret","stringData":{"password":"hunter2"}}
data:
  token: aHVudGVyMg==
stringData: {password: hunter2, note: "multi
    line hunter2"}
---
apiVersion: v1
kind: List
items:
- {kind: "Secret", data: {a: &anchor aHVudGVyMg==}}
- {kind: ConfigMap, metadata: {name: kept}, data: {plain: value}}
---
kind: SecretList
items: [{data: {a: aHVudGVyMg==}}]
---
kind: Scenario
manifests:
- |
  kind: Secret
  stringData:
    password: hunter2
"#;

#[test]
fn the_values_of_secrets_are_nowhere() {
    let folder = scratch("secrets").join("out");
    let json = r#"{"kind":"Secret","metadata":{"name":"s"},"data":{"a":"aHVudGVyMg=="}}"#;
    let escaped = r#"{"kind":"\u0053ecret","data":{"a":"aHVudGVyMg=="}}"#;
    let harmless = b"kind: Pod # imagePullSecrets\nspec: {imagePullSecrets: [{name: x}]}\n";
    let inputs = [
        InputFile { name: "secrets.yaml", content: SECRETS.as_bytes() },
        InputFile { name: "secret.json", content: json.as_bytes() },
        InputFile { name: "escaped.json", content: escaped.as_bytes() },
        InputFile { name: "broken.yaml", content: b"kind: Secret\ndata: {a: aHVudGVyMg==\n" },
        InputFile { name: "harmless.yaml", content: harmless },
    ];
    let results = small();
    directory::write(&folder, &report(&results, &[]), &inputs, None).expect("written");
    let found = files(&folder);
    for (name, content) in &found {
        let text = String::from_utf8_lossy(content);
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{name}: {text}");
    }
    let yaml = String::from_utf8_lossy(&found["inputs/secrets.yaml"]);
    assert!(yaml.contains("\"name\":\"kept\"") && yaml.contains("\"plain\":\"value\""), "{yaml}");
    assert!(yaml.contains("\"token\":\"cmVkYWN0ZWQ=\""), "{yaml}");
    assert_eq!(found["inputs/harmless.yaml"], harmless);
    let json: serde_json::Value = serde_json::from_slice(&found["inputs/secret.json"]).expect("still JSON");
    assert_eq!(json["data"]["a"], "cmVkYWN0ZWQ=");
}
