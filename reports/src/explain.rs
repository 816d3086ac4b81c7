//! Why a pod is where it is: the chain of events that led there.
//!
//! Each event names the event that led to it. Followed from a pod's last event back to a root (a
//! fault, something that a person did, the start), they are the story of that pod.

use std::collections::BTreeSet;
use std::fmt;

use compact_str::CompactString;
use seatrial_api::units::SimTime;

use crate::amounts::{clock, object, printable, said};
use crate::text::layout::{Cell, push_rows};

/// A row of `events.csv`, as read back.
#[derive(Clone, Debug)]
pub struct EventRecord {
    /// When.
    pub time: SimTime,
    /// The kind of the object, or `Fault` or `Action`.
    pub kind: CompactString,
    /// The object's namespace, empty for none.
    pub namespace: CompactString,
    /// The object's name.
    pub name: CompactString,
    /// What kind of row, such as `Added`.
    pub event: CompactString,
    /// The reason.
    pub reason: CompactString,
    /// The message.
    pub message: CompactString,
    /// The row, counted from 0, that led to this one.
    pub cause: Option<u32>,
}

/// A row of `pods.csv`, as read back.
#[derive(Clone, Debug)]
pub struct PodRecord {
    /// The namespace.
    pub namespace: CompactString,
    /// The name.
    pub name: CompactString,
    /// The managing controller as `Kind/name`.
    pub owner: CompactString,
    /// The node, empty for none.
    pub node: CompactString,
    /// The phase at the end.
    pub phase: CompactString,
    /// When it was created.
    pub created: SimTime,
    /// Why it is in its phase.
    pub reason: CompactString,
    /// The message that goes with the reason.
    pub message: CompactString,
    /// Whether it was gone at the end.
    pub deleted: bool,
}

/// What is read back of a results folder.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// `events.csv`; the index is the row number.
    pub events: Vec<EventRecord>,
    /// `pods.csv`.
    pub pods: Vec<PodRecord>,
}

/// Why there is no chain for what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotExplained {
    /// No pod has that name. Some that come near, as `namespace/name`.
    Unknown {
        /// What was asked for.
        asked: String,
        /// Pods whose names contain it or begin alike.
        similar: Vec<String>,
    },
    /// Pods of several namespaces have that name.
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// The pods, as `namespace/name`.
        pods: Vec<String>,
    },
}

impl fmt::Display for NotExplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotExplained::Unknown { asked, similar } => {
                write!(f, "there is no pod '{asked}' in these results")?;
                if !similar.is_empty() {
                    write!(f, "; there is {}", similar.join(", "))?;
                }
                Ok(())
            }
            NotExplained::Ambiguous { asked, pods } => {
                write!(f, "'{asked}' could be {}: give namespace/name", pods.join(" or "))
            }
        }
    }
}

impl std::error::Error for NotExplained {}

/// The rows that led to `row`, from the root to `row` itself. A cause is always an earlier row; a
/// file that says otherwise was tampered with, and the chain ends there.
pub fn chain(events: &[EventRecord], row: u32) -> Vec<u32> {
    let mut rows = vec![row];
    let mut current = row;
    while let Some(cause) = events.get(current as usize).and_then(|event| event.cause) {
        if cause >= current {
            break;
        }
        rows.push(cause);
        current = cause;
    }
    rows.reverse();
    rows
}

/// Tells the story of `pod` (a name, or `namespace/name`): where it is and why, what led there,
/// and what befell it before.
///
/// # Errors
/// If no pod or more than one has that name.
pub fn explain_chain(recorded: &Recorded, pod: &str) -> Result<String, NotExplained> {
    let pod = find(recorded, pod)?;
    let own: Vec<u32> = (0_u32..)
        .zip(&recorded.events)
        .filter(|(_, event)| {
            event.kind == "Pod" && event.name == pod.name && event.namespace == pod.namespace
        })
        .map(|(row, _)| row)
        .collect();
    let mut out = headline(pod);
    let Some(&last) = own.last() else {
        out.push_str("\nNothing happened to it in this run.\n");
        return Ok(out);
    };
    let led = chain(&recorded.events, last);
    out.push_str("\nWhat led there:\n");
    list(&recorded.events, &led, &mut out);
    let told: BTreeSet<u32> = led.into_iter().collect();
    let rest: Vec<u32> = own.into_iter().filter(|row| !told.contains(row)).collect();
    if !rest.is_empty() {
        out.push_str("\nWhat else happened to it:\n");
        list(&recorded.events, &rest, &mut out);
    }
    Ok(out)
}

/// The last pod of that name: names of StatefulSets' pods come again.
fn find<'a>(recorded: &'a Recorded, asked: &str) -> Result<&'a PodRecord, NotExplained> {
    let (namespace, name) = asked.split_once('/').map_or((None, asked), |(space, name)| (Some(space), name));
    let named = |pod: &&PodRecord| pod.name == name && namespace.is_none_or(|space| pod.namespace == space);
    let spaces: BTreeSet<&str> =
        recorded.pods.iter().filter(named).map(|pod| pod.namespace.as_str()).collect();
    if spaces.len() > 1 {
        let pods = spaces.into_iter().map(|space| object(space, name)).collect();
        return Err(NotExplained::Ambiguous { asked: asked.to_owned(), pods });
    }
    let found = recorded.pods.iter().rev().find(named);
    found.ok_or_else(|| NotExplained::Unknown { asked: asked.to_owned(), similar: similar(recorded, name) })
}

/// Up to five pods whose name contains `name`, or else begins as it does.
fn similar(recorded: &Recorded, name: &str) -> Vec<String> {
    let stem = name.split('-').next().unwrap_or_default();
    let matching = |part: &str| -> Vec<String> {
        let pods = recorded.pods.iter().filter(|pod| !part.is_empty() && pod.name.contains(part));
        pods.take(5).map(|pod| object(&pod.namespace, &pod.name)).collect()
    };
    let containing = matching(name);
    if containing.is_empty() { matching(stem) } else { containing }
}

fn headline(pod: &PodRecord) -> String {
    let mut line = object(&pod.namespace, &pod.name);
    if !pod.owner.is_empty() {
        line += &format!(" of {}", pod.owner);
    }
    let gone = if pod.deleted { "gone, last " } else { "" };
    let place = if pod.node.is_empty() { "on no node".to_owned() } else { format!("on {}", pod.node) };
    line += &format!(": {gone}{} {place}, created at {}", pod.phase, clock(pod.created));
    let why = said(&pod.reason, &pod.message);
    let lines = [line, why].into_iter().filter(|line| !line.is_empty());
    let rows: Vec<Vec<Cell>> = lines.map(|line| vec![Cell::text(printable(&line))]).collect();
    let mut out = String::new();
    push_rows(&rows, 0, false, &mut out);
    out
}

/// A table of events: time, object, and what happened.
fn list(events: &[EventRecord], rows: &[u32], out: &mut String) {
    let row = |row: &u32| {
        let event = &events[*row as usize];
        let sign = if event.event == "Warning" || event.event == "FaultBegin" { "!" } else { " " };
        let subject = format!("{} {}", event.kind, object(&event.namespace, &event.name));
        let what = if event.reason.is_empty() { &event.event } else { &event.reason };
        let what = printable(&said(what, &event.message));
        vec![
            Cell::text(sign),
            Cell::figure(clock(event.time)),
            Cell::text(printable(&subject)),
            Cell::text(what),
        ]
    };
    push_rows(&rows.iter().map(row).collect::<Vec<_>>(), 0, false, out);
}
