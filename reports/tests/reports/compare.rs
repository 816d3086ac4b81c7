//! Tables of sweeps, and what a comparison makes of them.

use seatrial_reports::compare::{Comparison, SweepTable, Verdict, compare};
use seatrial_reports::metrics::METRICS;

/// Two policies on two sizes, three seeds each: packing waits about a second longer, costs the same
/// by chance, and places the same number.
const TABLE: &str = "\
policy,nodes.worker.count,seed,trace_hash,passed,wait_mean_s,cpu_allocated_pct,cost_usd,evictions
default,6,1,0000000000000001,true,1.0,50,10,0
default,6,2,0000000000000002,true,2.0,51,11,0
default,6,3,0000000000000003,true,3.0,52,12,0
default,8,1,0000000000000004,true,1.5,40,10,0
default,8,2,0000000000000005,true,2.5,41,11,0
default,8,3,0000000000000006,false,3.5,42,12,0
packing,6,1,0000000000000007,true,2.0,60,10.5,0
packing,6,2,0000000000000008,true,3.1,61,10.5,0
packing,6,3,0000000000000009,true,3.9,62,12,0
packing,8,1,000000000000000a,true,2.6,50,10,0
packing,8,2,000000000000000b,true,3.4,51,11.4,0
packing,8,3,000000000000000c,true,,52,11.6,0
";

fn table(text: &str) -> SweepTable {
    SweepTable::read(text.as_bytes()).unwrap_or_else(|problem| panic!("{problem}"))
}

fn compared() -> Comparison {
    compare(&table(TABLE), "policy", None).unwrap()
}

#[test]
fn runs_are_paired_by_seed_and_by_all_other_factors() {
    let comparison = compared();
    assert_eq!((comparison.baseline.as_str(), comparison.paired_by.len()), ("default", 2));
    let wait = &comparison.differences[0];
    // Differences 1, 1.1, 0.9, 1.1, 0.9; the sixth pair has no value.
    assert_eq!((wait.metric, wait.pairs), ("wait_mean_s", 5));
    assert!((wait.difference - 1.0).abs() < 1e-12, "{wait:?}");
    // sd 0.1, error 0.1/√5, t(0.975, 4) = 2.7764451051978.
    let half = 2.776_445_105_197_8 * 0.1 / 5.0_f64.sqrt();
    assert!((wait.ci_low.unwrap() - (1.0 - half)).abs() < 1e-9, "{wait:?}");
    assert!((wait.ci_high.unwrap() - (1.0 + half)).abs() < 1e-9, "{wait:?}");
}

#[test]
fn each_metric_has_its_own_good_direction() {
    let verdicts: Vec<(&str, Verdict)> =
        compared().differences.iter().map(|one| (one.metric, one.verdict)).collect();
    let expected = [
        ("wait_mean_s", Verdict::Worse),
        ("cpu_allocated_pct", Verdict::Better),
        ("cost_usd", Verdict::NotShown),
        ("evictions", Verdict::NotShown),
    ];
    assert_eq!(verdicts, expected);
    let turned = compare(&table(TABLE), "policy", Some("packing")).unwrap();
    assert_eq!(turned.differences[0].verdict, Verdict::Better);
}

#[test]
fn p_values_are_corrected_for_all_comparisons_of_the_table() {
    let comparison = compared();
    let mut p: Vec<(f64, f64)> =
        comparison.differences.iter().map(|one| (one.p.unwrap(), one.p_holm.unwrap())).collect();
    p.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(p.len(), 4);
    assert!((p[0].1 - (p[0].0 * 4.0).min(1.0)).abs() < 1e-12);
    assert!((p[1].1 - (p[1].0 * 3.0).min(1.0)).abs() < 1e-12);
}

#[test]
fn the_answer_is_a_table_and_json() {
    let text = compared().to_text();
    for part in [
        "policy against default",
        "worse",
        "better",
        "no difference shown",
        "The same in every pair: evictions",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&compared().to_json()).unwrap();
    assert_eq!(json["differences"][0]["verdict"], "worse");
    assert_eq!(json["differences"][2]["verdict"], "no difference shown");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let table = table(TABLE);
    for (by, baseline, expected) in [
        ("polcy", None, "there is no factor polcy"),
        ("policy", Some("best-fit"), "there is no policy best-fit in the table"),
    ] {
        let problem = compare(&table, by, baseline).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
    for (from, to, expected) in [
        ("seed,trace_hash", "seeds,trace_hash", "1: this is no table of a sweep"),
        ("cost_usd,", "cost_eur,", "1: there is no metric cost_eur"),
        ("default,6,2,", "default,6,two,", "3: seed: expected a whole number"),
        (",50,10,0\n", ",many,10,0\n", "2: expected a number"),
        ("packing,8,3,000000000000000c", "packing,8,2,000000000000000c", "two rows have the same factors"),
    ] {
        let text = TABLE.replacen(from, to, 1);
        let problem = SweepTable::read(text.as_bytes())
            .and_then(|table| compare(&table, "policy", None).map(|_| ()))
            .unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn the_page_explains_every_metric() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/experiments.md")).unwrap();
    for metric in METRICS {
        let direction = match metric.better {
            seatrial_reports::metrics::Better::Higher => "higher",
            seatrial_reports::metrics::Better::Lower => "lower",
        };
        let row = format!("| `{}` | {direction} | {} |", metric.name, metric.about);
        assert!(page.contains(&row), "docs/experiments.md lacks the row\n{row}");
    }
}
