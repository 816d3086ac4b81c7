//! The parts of the page that are plain HTML.

use super::escaped;
use crate::amounts::{availability, clock, count, object, percent, span, usd};
use crate::summary::{ExpectationSummary, NOT_REPRODUCIBLE, Percentiles, ReasonGroup, Summary};
use seatrial_api::units::Span;

/// How many rows of a list are shown.
const ROWS_MAX: usize = 20;

/// The verdict, the figures that matter, what was expected, why pods do not run, Services.
pub(super) fn answer(summary: &Summary) -> String {
    let mut out = verdict(summary);
    out += &cards(summary);
    out += &expectations(&summary.expectations);
    out += &reasons(summary);
    out += &services(summary);
    out
}

fn verdict(summary: &Summary) -> String {
    let missed = summary.expectations.iter().filter(|outcome| !outcome.passed).count();
    let all = summary.expectations.len();
    let (class, word, what) = match (all, missed) {
        (0, _) => ("", "DONE", "nothing was expected".to_owned()),
        (_, 0) => ("pass", "PASS", format!("all {all} expectations were met")),
        _ => ("fail", "FAIL", format!("{missed} of {all} expectations were missed")),
    };
    format!(
        "<h1><span class=\"verdict {class}\">{word}</span> {}</h1>\n<p class=\"lead\">In {} of cluster time {what}.</p>\n",
        escaped(&summary.name),
        span(summary.simulated)
    )
}

fn cards(summary: &Summary) -> String {
    let pods = &summary.pods;
    let latency = |latency: &Option<Percentiles>| latency.map_or("none".to_owned(), |known| span(known.p99));
    let mut cards = vec![
        summary.pods_figure(),
        (latency(&summary.start_latency), "from created to ready, 99th percentile".to_owned()),
    ];
    if let Some(&(pct, service)) = summary.rated_services().first() {
        let name = object(&service.namespace, &service.name);
        cards.push((availability(pct), format!("availability of {name}, the lowest")));
    }
    let shares = &summary.resources.cpu.shares;
    let share = |pct: Option<f64>| pct.map_or("none".to_owned(), percent);
    cards.push((share(shares.allocated_mean_pct), "of the CPU allocated, on average".to_owned()));
    cards.push((share(shares.used_mean_pct), "of the CPU used, on average".to_owned()));
    cards.push((count(summary.evictions.total), "pods evicted".to_owned()));
    cards.push((count(pods.restarts), "container restarts".to_owned()));
    if summary.cost_usd > 0.0 {
        cards.push((usd(summary.cost_usd), "cost of the machines".to_owned()));
    }
    let card = |(figure, what): &(String, String)| {
        format!("<div class=\"card\"><b>{}</b><span>{}</span></div>\n", escaped(figure), escaped(what))
    };
    format!("<div class=\"cards\">\n{}</div>\n", cards.iter().map(card).collect::<String>())
}

fn expectations(outcomes: &[ExpectationSummary]) -> String {
    let row = |outcome: &ExpectationSummary| {
        let (class, word) = if outcome.passed { ("pass", "pass") } else { ("fail", "FAIL") };
        let at = outcome.at.map(clock).unwrap_or_default();
        let cells = [&outcome.name, &at, &outcome.object, &outcome.found, &outcome.expected];
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr><td class=\"short\"><span class=\"mark {class}\">{word}</span></td>{cells}</tr>\n")
    };
    let header = ["", "Expectation", "At", "Object", "Found", "Expected"];
    table("What was expected", &header, 0, outcomes.iter().map(row).collect())
}

fn reasons(summary: &Summary) -> String {
    let row = |phase: &str, group: &ReasonGroup| {
        format!(
            "<tr><td class=\"figure\">{}</td><td class=\"short\">{phase}</td><td class=\"short\">{}</td>\
             <td>{}</td><td>{}</td></tr>\n",
            count(group.pods),
            escaped(&group.reason),
            escaped(&group.message),
            escaped(&group.example)
        )
    };
    let mut rows = Vec::new();
    for (phase, groups) in summary.troubles() {
        rows.extend(groups.iter().take(ROWS_MAX).map(|group| row(phase, group)));
        if groups.len() > ROWS_MAX {
            let rest = count((groups.len() - ROWS_MAX) as u64);
            rows.push(format!("<tr><td></td><td class=\"short\">{phase}</td><td colspan=\"3\">and {rest} more reasons</td></tr>\n"));
        }
    }
    table("Why pods are not well", &["Pods", "Phase", "Reason", "Message", "Such as"], 1, rows)
}

fn services(summary: &Summary) -> String {
    let rated = summary.rated_services();
    let mut rows: Vec<String> = Vec::new();
    for (pct, service) in rated.iter().take(ROWS_MAX) {
        let down = if service.down == Span::ZERO { "never".to_owned() } else { span(service.down) };
        rows.push(format!(
            "<tr><td>{}</td><td class=\"figure\">{}</td><td class=\"figure\">{down}</td><td class=\"figure\">{}</td></tr>\n",
            escaped(&object(&service.namespace, &service.name)),
            availability(*pct),
            span(service.wanted)
        ));
    }
    if rated.len() > ROWS_MAX {
        let rest = count((rated.len() - ROWS_MAX) as u64);
        rows.push(format!(
            "<tr><td colspan=\"4\">and {rest} more, none less available; all are in services.csv</td></tr>\n"
        ));
    }
    table("Services", &["Service", "Availability", "Down", "Wanted for"], 3, rows)
}

/// A section with a table whose header and rows are HTML; the last `figures` columns hold figures,
/// or the first one if there is a single such column. Nothing without rows.
fn table(title: &str, header: &[&str], figures: usize, rows: Vec<String>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let class = |column: usize| match figures {
        0 => "",
        1 => [" class=\"figure\"", ""][usize::from(column > 0)],
        _ => ["", " class=\"figure\""][usize::from(column + figures >= header.len())],
    };
    let header = header.iter().enumerate().map(|(column, name)| format!("<th{}>{name}</th>", class(column)));
    format!(
        "<section><h2>{title}</h2><div class=\"scroll\"><table class=\"rows\"><thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div></section>\n",
        header.collect::<String>(),
        rows.concat()
    )
}

/// What reproduces the run.
pub(super) fn facts(summary: &Summary) -> String {
    let not_played = summary.not_played.iter().map(|kept| format!("{} ({})", kept.kind, kept.objects));
    let by = &summary.evictions;
    let facts = [
        ("Seed", summary.seed.to_string()),
        ("Trace hash", summary.trace_hash.clone()),
        ("Events", count(summary.events)),
        ("Seatrial", summary.seatrial_version.clone()),
        ("Kubernetes behaviour", summary.kubernetes_version.clone()),
        (
            "Evictions",
            format!(
                "{} by taint, {} by drain, {} under pressure, {} by preemption",
                by.taint, by.api, by.pressure, by.preemption
            ),
        ),
        ("Note", if summary.reproducible { String::new() } else { NOT_REPRODUCIBLE.to_owned() }),
        ("Kept without being played yet", not_played.collect::<Vec<_>>().join(", ")),
        ("Inputs", "in the folder inputs beside this page".to_owned()),
    ];
    let facts = facts.iter().filter(|fact| !fact.1.is_empty());
    let facts: String =
        facts.map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escaped(value))).collect();
    format!("<section><h2>This run</h2><dl>\n{facts}</dl></section>")
}
