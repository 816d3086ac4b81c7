//! The answer on the terminal: the verdict first, then what was expected, three figures, and the
//! details; at most 100 columns wide.

pub(crate) mod layout;

use std::path::PathBuf;

use seatrial_api::units::Span;

use crate::amounts::{
    availability, bytes, clock, cores, count, counted, object, percent, printable, said, shortened, span, usd,
};
use crate::summary::{ExpectationSummary, NOT_REPRODUCIBLE, Percentiles, ReasonGroup, Shares, Summary};
use layout::{Cell, Style, push_rows};

/// How many rows of a list are shown.
const ROWS_MAX: usize = 8;

/// How the answer is shown.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether to colour: only on a terminal, and only if `NO_COLOR` is not set.
    pub colour: bool,
    /// The results folder, if one was written.
    pub folder: Option<PathBuf>,
}

/// The answer as text, ending in a newline.
pub fn render(summary: &Summary, options: &Options) -> String {
    let mut answer = Answer { text: String::new(), colour: options.colour };
    answer.verdict(summary);
    answer.expectations(&summary.expectations);
    answer.key_figures(summary);
    answer.pods(summary);
    answer.nodes(summary);
    answer.latencies(summary);
    answer.services(summary);
    answer.facts(summary);
    answer.next_steps(summary, options);
    answer.text
}

struct Answer {
    text: String,
    colour: bool,
}

impl Answer {
    fn rows(&mut self, indent: usize, rows: &[Vec<Cell>]) {
        push_rows(rows, indent, self.colour, &mut self.text);
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line under a bold title.
    fn section(&mut self, title: &str, rest: String) {
        self.blank();
        self.rows(0, &[vec![Cell::text(format!("{title:<9}")).in_style(Style::Bold), Cell::text(rest)]]);
    }

    /// A table of figures under faint headers; the first column is text.
    fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) {
        let cells = |row: Vec<String>| -> Vec<Cell> {
            let make = |(index, text)| if index == 0 { Cell::text(text) } else { Cell::figure(text) };
            row.into_iter().enumerate().map(make).collect()
        };
        let header = cells(header.iter().map(|title| (*title).to_owned()).collect());
        let header = header.into_iter().map(|cell| cell.in_style(Style::Faint)).collect();
        let all: Vec<Vec<Cell>> = std::iter::once(header).chain(rows.into_iter().map(cells)).collect();
        self.rows(2, &all);
    }

    /// Says how many rows a list leaves out.
    fn cut(&mut self, all: usize, what: &str) {
        if all > ROWS_MAX {
            self.rows(2, &[vec![Cell::text(format!("and {} more {what}", count((all - ROWS_MAX) as u64)))]]);
        }
    }

    fn verdict(&mut self, summary: &Summary) {
        let all = counted(summary.expectations.len() as u64, "expectation");
        let missed = summary.expectations.iter().filter(|outcome| !outcome.passed).count();
        let (word, style, what) = match (summary.expectations.len(), missed) {
            (0, _) => ("DONE", Style::Bold, "nothing was expected".to_owned()),
            (_, 0) => ("PASS", Style::Green, format!("{all} met")),
            _ => ("FAIL", Style::Red, format!("{missed} of {all} missed")),
        };
        let name = shortened(&printable(&summary.name), 50);
        let length = span(summary.simulated);
        let what = format!("{name}: {what} in {length} of cluster time");
        self.rows(0, &[vec![Cell::text(word).in_style(style), Cell::text(what)]]);
    }

    fn expectations(&mut self, outcomes: &[ExpectationSummary]) {
        if outcomes.is_empty() {
            return;
        }
        self.blank();
        let rows: Vec<Vec<Cell>> = outcomes.iter().map(expectation).collect();
        self.rows(2, &rows);
    }

    /// The three figures that matter most: what runs, how fast it started, how well it served.
    fn key_figures(&mut self, summary: &Summary) {
        let running = summary.pods_figure();
        let start = match &summary.start_latency {
            Some(latency) => (span(latency.p99), "from created to ready, p99".to_owned()),
            None => ("none".to_owned(), "became ready".to_owned()),
        };
        let served = match summary.rated_services().first() {
            Some(&(pct, service)) => {
                let name = shortened(&object(&service.namespace, &service.name), 36);
                (availability(pct), format!("availability of {name}"))
            }
            None => {
                let allocated = summary.resources.cpu.shares.allocated_mean_pct;
                (allocated.map_or("none".to_owned(), percent), "of the CPU allocated".to_owned())
            }
        };
        let figures = [running, start, served];
        let values = figures.iter().map(|figure| Cell::text(format!("{}  ", figure.0)).in_style(Style::Bold));
        let names = figures.iter().map(|figure| Cell::text(format!("{}  ", figure.1)).in_style(Style::Faint));
        let rows = [values.collect(), names.collect()];
        self.blank();
        self.rows(2, &rows);
    }

    fn pods(&mut self, summary: &Summary) {
        let pods = &summary.pods;
        let amounts = [
            (pods.running, "running"),
            (pods.pending, "pending"),
            (pods.succeeded, "succeeded"),
            (pods.failed, "failed"),
            (pods.unknown, "unknown"),
            (pods.deleted, "gone"),
        ];
        let shown = amounts.iter().filter(|(amount, name)| *amount > 0 || *name == "running");
        let shown: Vec<String> = shown.map(|(amount, name)| format!("{} {name}", count(*amount))).collect();
        self.section("Pods", format!("{}; {}", shown.join(", "), counted(pods.restarts, "restart")));
        if pods.running_never_ready > 0 {
            let line = format!("{} running, but never ready", count(pods.running_never_ready));
            self.rows(2, &[vec![Cell::text(line)]]);
        }
        for (phase, groups) in summary.troubles() {
            self.reasons(phase, groups);
        }
    }

    fn reasons(&mut self, phase: &str, groups: &[ReasonGroup]) {
        let row = |group: &ReasonGroup| {
            let why = printable(&said(&group.reason, &group.message));
            let why = if why.is_empty() { "no reason was given".to_owned() } else { why };
            vec![Cell::figure(count(group.pods)), Cell::text(phase), Cell::text(why)]
        };
        let rows: Vec<Vec<Cell>> = groups.iter().take(ROWS_MAX).map(row).collect();
        self.rows(2, &rows);
        self.cut(groups.len(), &format!("reasons of {phase} pods"));
    }

    fn nodes(&mut self, summary: &Summary) {
        let nodes = &summary.nodes;
        let mut line = counted(nodes.present, "node");
        if let Some(ready) = nodes.ready {
            line += &format!(", {} ready", count(ready));
        }
        if nodes.joined > nodes.present {
            line += &format!(", {} gone", count(nodes.joined - nodes.present));
        }
        if summary.cost_usd > 0.0 {
            line += &format!("; cost {}", usd(summary.cost_usd));
        }
        self.section("Nodes", line);
        let share = |pct: Option<f64>| pct.map_or("-".to_owned(), percent);
        let row = |name: &str, whole: String, shares: &Shares| -> Vec<String> {
            let allocated = [shares.allocated_mean_pct, shares.allocated_max_pct];
            let pcts = allocated.into_iter().chain([shares.used_mean_pct, shares.used_max_pct]);
            [name.to_owned(), whole].into_iter().chain(pcts.map(share)).collect()
        };
        let (cpu, memory) = (&summary.resources.cpu, &summary.resources.memory);
        let rows = vec![
            row("cpu", cores(cpu.allocatable), &cpu.shares),
            row("memory", bytes(memory.allocatable), &memory.shares),
        ];
        self.table(&["", "allocatable", "allocated", "highest", "used", "highest"], rows);
    }

    fn latencies(&mut self, summary: &Summary) {
        let row = |name: &str, latency: &Percentiles| -> Vec<String> {
            let spans = [latency.p50, latency.p90, latency.p99, latency.max].map(span);
            let pods = count(latency.pods as u64);
            [name.to_owned()].into_iter().chain(spans).chain([pods]).collect()
        };
        let known =
            [("created to bound", &summary.scheduling_latency), ("created to ready", &summary.start_latency)];
        let rows = known.iter().filter_map(|(name, latency)| Some(row(name, latency.as_ref()?)));
        let rows: Vec<Vec<String>> = rows.collect();
        if !rows.is_empty() {
            self.section("Latencies", String::new());
            self.table(&["", "p50", "p90", "p99", "max", "pods"], rows);
        }
    }

    fn services(&mut self, summary: &Summary) {
        let rated = summary.rated_services();
        let row = |(pct, service): &(f64, &crate::summary::ServiceSummary)| {
            let down = if service.down == Span::ZERO { "never".to_owned() } else { span(service.down) };
            let name = shortened(&object(&service.namespace, &service.name), 50);
            vec![name, availability(*pct), down, span(service.wanted)]
        };
        let rows: Vec<Vec<String>> = rated.iter().take(ROWS_MAX).map(row).collect();
        if !rows.is_empty() {
            self.section("Services", String::new());
            self.table(&["", "availability", "down", "wanted for"], rows);
            self.cut(rated.len(), "Services, none of them less available");
        }
    }

    /// Evictions, faults, what was not played, and what reproduces the run.
    fn facts(&mut self, summary: &Summary) {
        let by = &summary.evictions;
        let causes = [
            (by.taint, "by taint"),
            (by.api, "by drain"),
            (by.pressure, "under pressure"),
            (by.preemption, "by preemption"),
        ];
        let causes = causes.iter().filter(|cause| cause.0 > 0);
        let causes: Vec<String> = causes.map(|(amount, how)| format!("{} {how}", count(*amount))).collect();
        let none = || "none".to_owned();
        let mut rows = vec![("Evicted", if causes.is_empty() { none() } else { causes.join(", ") })];
        for fault in summary.faults.iter().take(ROWS_MAX) {
            let target = if fault.target.is_empty() { String::new() } else { format!(" ({})", fault.target) };
            let end = fault.end.map_or("the end".to_owned(), clock);
            rows.push(("Fault", format!("{}{target} from {} to {end}", fault.name, clock(fault.begin))));
        }
        if summary.faults.len() > ROWS_MAX {
            rows.push(("", format!("and {} more faults", count((summary.faults.len() - ROWS_MAX) as u64))));
        }
        if !summary.not_played.is_empty() {
            let kinds = summary.not_played.iter().map(|kept| format!("{} ({})", kept.kind, kept.objects));
            let kinds = kinds.collect::<Vec<_>>().join(", ");
            rows.push(("Kept", format!("without being played yet: {kinds}")));
        }
        if !summary.reproducible {
            rows.push(("Note", NOT_REPRODUCIBLE.to_owned()));
        }
        let (events, cpu) = (counted(summary.events, "event"), span(summary.cpu));
        rows.push((
            "Trace",
            format!("{}, seed {}, {events} in {cpu} of CPU", summary.trace_hash, summary.seed),
        ));
        let row = |(title, text): &(&str, String)| {
            let title = Cell::text(format!("{title:<9}")).in_style(Style::Bold);
            vec![title, Cell::text(printable(text))]
        };
        let rows: Vec<Vec<Cell>> = rows.iter().map(row).collect();
        self.blank();
        self.rows(0, &rows);
    }

    fn next_steps(&mut self, summary: &Summary, options: &Options) {
        let Some(folder) = &options.folder else { return };
        let mut troubled = summary.troubles().filter_map(|(_, groups)| groups.first());
        let pod = troubled.next().map_or("POD", |group| group.example.as_str());
        let page = folder.join("report.html");
        let step = |title: &str, text: String| vec![Cell::text(format!("{title:<9}")), Cell::text(text)];
        let explain = format!("seatrial explain {} {}", folder.display(), pod);
        self.blank();
        self.rows(0, &[step("Look at", page.display().to_string()), step("Ask", explain)]);
    }
}

/// A met expectation in one line; a missed one with what was found and what was right.
fn expectation(outcome: &ExpectationSummary) -> Vec<Cell> {
    let name = Cell::text(shortened(&printable(&outcome.name), 30));
    let mut said: Vec<String> = Vec::new();
    if let (Some(at), false) = (outcome.at, outcome.passed) {
        said.push(format!("at {}:", clock(at)));
    }
    said.extend([outcome.object.clone(), outcome.found.clone()].into_iter().filter(|part| !part.is_empty()));
    let mut text = said.join(" ");
    if !outcome.passed && !outcome.expected.is_empty() {
        text += &format!("; expected {}", outcome.expected);
    }
    let word = if outcome.passed {
        Cell::text("pass").in_style(Style::Green)
    } else {
        Cell::text("FAIL").in_style(Style::Red)
    };
    vec![word, name, Cell::text(printable(&text))]
}
