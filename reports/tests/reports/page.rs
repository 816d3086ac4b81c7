//! The page, as far as it can be judged without a browser.

use std::fs;
use std::path::Path;

use seatrial_api::pod::PodPhase;
use seatrial_reports::directory;
use seatrial_sim_core::results::{EventType, ExpectationOutcome, Results};

use crate::made_up::{Size, at, empty, event, outcomes, pod, report, zone_loss};

fn page(name: &str, results: &Results, outcomes: &[ExpectationOutcome]) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reports-page").join(name);
    let _ = fs::remove_dir_all(&folder);
    directory::write(&folder, &report(results, outcomes), &[], None).expect("written");
    fs::read_to_string(folder.join("report.html")).expect("a page")
}

/// The data that the page's script reads.
fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once("id=\"data\">").expect("the data");
    let (data, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn nothing_in_the_results_can_end_the_script_or_begin_an_element() {
    let evil = "</script><img src=x onerror=alert(1)>";
    let mut results = empty(evil);
    event(
        &mut results,
        at(0),
        "Pod",
        "shop",
        evil,
        EventType::Warning,
        evil,
        "quote \" and\nline <!--",
        None,
    );
    let mut odd = pod(evil, at(0), &None);
    (odd.reason, odd.message) = (evil.into(), evil.into());
    results.pods.push(odd);
    let outcome = ExpectationOutcome {
        name: evil.to_owned(),
        passed: false,
        at: None,
        object: evil.to_owned(),
        found: evil.to_owned(),
        expected: evil.to_owned(),
    };
    let page = page("evil", &results, &[outcome]);
    assert!(!page.contains("<img") && !page.contains("<!--"));
    assert_eq!(page.matches("</script>").count(), 3, "the data and two scripts");
    let data = data(&page);
    assert_eq!(data["pods"]["rows"][0][0], format!("shop/{evil}"));
    assert_eq!(data["events"]["rows"][0][6], "quote \" and\nline <!--");
}

#[test]
fn the_page_loads_nothing_from_anywhere() {
    let results = zone_loss(Size { nodes: 6, deployments: 2, replicas: 5 });
    let page = page("closed", &results, &outcomes());
    assert!(page.contains("default-src 'none'"));
    for loading in [" src=", " href=", "@import", "url(", "fetch(", "XMLHttpRequest", "import("] {
        assert!(!page.contains(loading), "{loading}");
    }
}

#[test]
fn the_charts_hold_every_change_of_a_short_run() {
    let results = zone_loss(Size { nodes: 6, deployments: 2, replicas: 5 });
    let data = data(&page("charts", &results, &[]));
    let charts = data["charts"].as_array().expect("charts");
    let titles: Vec<&str> = charts.iter().filter_map(|chart| chart["title"].as_str()).collect();
    let expected = [
        "Pods by phase",
        "Availability of Services",
        "Available replicas of Deployments",
        "CPU",
        "Memory",
        "Nodes Ready",
    ];
    assert_eq!(titles, expected);
    let x = charts[5]["x"].as_array().expect("instants");
    assert_eq!(
        x.iter().filter_map(serde_json::Value::as_f64).collect::<Vec<_>>(),
        [0.0, 1_240.0, 1_802.0, 3_600.0]
    );
    assert_eq!(charts[5]["series"][0]["values"], serde_json::json!([6.0, 4.0, 6.0, 6.0]));
    assert_eq!(
        data["faults"],
        serde_json::json!([{"label": "loss: zone a", "begin": 1_200.0, "end": 1_800.0}])
    );
}

#[test]
fn a_large_run_is_cut_to_what_a_browser_likes_and_says_so() {
    let mut results = zone_loss(Size { nodes: 700, deployments: 40, replicas: 500 });
    results.pods.last_mut().expect("pods").phase = PodPhase::Failed;
    let page = page("large", &results, &outcomes());
    assert!(page.len() < 8_000_000, "{} bytes", page.len());
    let data = data(&page);
    for (table, all) in [("pods", results.pods.len()), ("events", results.event_rows.len())] {
        assert_eq!(data[table]["all"], all);
        assert_eq!(data[table]["rows"].as_array().map(Vec::len), Some(10_000));
        let note = data[table]["note"].as_str().expect("a note");
        assert!(note.starts_with("This page holds 10,000 of "), "{note}");
    }
    let warnings = |rows: &serde_json::Value| {
        let rows = rows.as_array().expect("rows");
        rows.iter().filter(|row| row[4] == "Warning").count()
    };
    let all = results.event_rows.iter().filter(|row| row.event == EventType::Warning).count();
    assert_eq!(warnings(&data["events"]["rows"]), all, "no warning was cut");
    assert!(data["heat"]["rows"].as_array().expect("rows").len() <= 203);
}
