//! A scheduler's extender, called by `seatrial run` and only on request.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const SCENARIO: &str = "apiVersion: seatrial/v1
kind: Scenario
metadata: {name: extended}
for: 5m
schedulerConfig: scheduler.yaml
nodes: [{name: worker, count: 3, capacity: {cpu: 4, memory: 8Gi, pods: 110}}]
manifests:
  - apiVersion: v1
    kind: Pod
    metadata: {name: a, namespace: default}
    spec: {containers: [{name: c, image: 'app:1', resources: {requests: {cpu: 100m}}}]}
expect:
  - {name: runs, pods: Running, atLeast: 1, after: 4m}
";

/// Answers every request with the one node that it can do with.
fn serve(listener: TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let (mut asked, mut part) = (Vec::new(), [0; 4096]);
        let whole = |asked: &[u8]| {
            let text = String::from_utf8_lossy(asked);
            let (head, body) = text.split_once("\r\n\r\n")?;
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
            (body.len() >= length.parse().ok()?).then_some(())
        };
        while whole(&asked).is_none() {
            let count = stream.read(&mut part).expect("a request");
            asked.extend_from_slice(&part[..count]);
        }
        let answer = "HTTP/1.0 200 OK\r\n\r\n{\"NodeNames\": [\"worker-1\"]}";
        stream.write_all(answer.as_bytes()).expect("an answer");
    }
}

#[test]
fn an_extender_is_called_on_request_and_marks_the_result() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || serve(listener));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("extenders");
    std::fs::create_dir_all(&folder).expect("a folder");
    let configuration = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders:\n  - {{urlPrefix: 'http://{address}/x', filterVerb: filter, nodeCacheCapable: true}}\n"
    );
    std::fs::write(folder.join("scheduler.yaml"), configuration).expect("a file");
    std::fs::write(folder.join("scenario.yaml"), SCENARIO).expect("a file");
    let run = |arguments: &[&str]| {
        let scenario = folder.join("scenario.yaml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_seatrial"));
        command.arg("run").arg(scenario).args(arguments).output().expect("the program can be run")
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let messages = String::from_utf8_lossy(&refused.stderr);
    assert!(messages.contains("scenario.yaml:5:18: schedulerConfig: it has extenders"), "{messages}");

    let out = folder.join("results");
    drop(std::fs::remove_dir_all(&out));
    let place = out.to_string_lossy().into_owned();
    let allowed = run(&["--allow-extender-calls", "--format", "json", "--out", &place]);
    assert_eq!(allowed.status.code(), Some(0), "{}", String::from_utf8_lossy(&allowed.stderr));
    let summary: Value = serde_json::from_slice(&allowed.stdout).expect("JSON");
    assert_eq!((&summary["reproducible"], &summary["passed"]), (&Value::Bool(false), &Value::Bool(true)));
    let pods = std::fs::read_to_string(out.join("pods.csv")).expect("a table");
    assert!(pods.contains("worker-1") && !pods.contains("worker-0"), "{pods}");
    let text = run(&["--allow-extender-calls"]);
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(text.contains("extenders were called: this result cannot be reproduced"), "{text}");
}
