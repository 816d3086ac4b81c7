//! Results to CSV.

use std::fmt::{Display, Write as _};
use std::io::Write;

use seatrial_api::meta::OwnerRef;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::{NodeRow, PodRow, Results};

use super::{EVENTS, NODES, PODS, SERVICES, TIMESERIES};
use crate::amounts::push_decimal_seconds;

/// Writes one file.
type WriteFile = fn(&Results, &mut dyn Write) -> csv::Result<()>;

/// The files by name.
pub(crate) const FILES: [(&str, WriteFile); 5] = [
    ("events.csv", events),
    ("pods.csv", pods),
    ("nodes.csv", nodes),
    ("timeseries.csv", timeseries),
    ("services.csv", services),
];

/// A CSV file and a buffer for its next field.
struct Sheet<'a> {
    csv: csv::Writer<&'a mut dyn Write>,
    field: String,
}

impl<'a> Sheet<'a> {
    fn new(out: &'a mut dyn Write, columns: &[&str]) -> csv::Result<Sheet<'a>> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(columns)?;
        Ok(Sheet { csv, field: String::new() })
    }

    fn text(&mut self, text: &str) -> csv::Result<()> {
        self.csv.write_field(text)
    }

    fn number(&mut self, number: impl Display) -> csv::Result<()> {
        self.field.clear();
        write!(self.field, "{number}").expect("invariant: writing to a string succeeds");
        self.csv.write_field(&self.field)
    }

    fn nanos(&mut self, nanos: Option<i64>) -> csv::Result<()> {
        self.field.clear();
        if let Some(nanos) = nanos {
            push_decimal_seconds(nanos, &mut self.field);
        }
        self.csv.write_field(&self.field)
    }

    fn time(&mut self, time: impl Into<Option<SimTime>>) -> csv::Result<()> {
        self.nanos(time.into().map(SimTime::nanos))
    }

    fn span(&mut self, span: Span) -> csv::Result<()> {
        self.nanos(Some(span.nanos()))
    }

    fn end_row(&mut self) -> csv::Result<()> {
        self.csv.write_record(None::<&[u8]>)
    }

    fn finish(mut self) -> csv::Result<()> {
        Ok(self.csv.flush()?)
    }
}

fn events(results: &Results, out: &mut dyn Write) -> csv::Result<()> {
    let mut sheet = Sheet::new(out, &EVENTS)?;
    for event in &results.event_rows {
        sheet.time(event.time)?;
        sheet.text(event.kind.as_str())?;
        sheet.text(event.namespace.as_str())?;
        sheet.text(&event.name)?;
        sheet.text(event.event.as_str())?;
        sheet.text(event.reason.as_str())?;
        sheet.text(&event.message)?;
        match event.cause {
            Some(cause) => sheet.number(cause)?,
            None => sheet.text("")?,
        }
        sheet.end_row()?;
    }
    sheet.finish()
}

fn pods(results: &Results, out: &mut dyn Write) -> csv::Result<()> {
    let mut sheet = Sheet::new(out, &PODS)?;
    for pod in &results.pods {
        sheet.text(pod.namespace.as_str())?;
        sheet.text(&pod.name)?;
        sheet.text(&owner(pod))?;
        sheet.text(pod.node.as_str())?;
        sheet.text(pod.phase.as_str())?;
        sheet.time(pod.created)?;
        for time in [pod.scheduled, pod.started, pod.ready, pod.finished] {
            sheet.time(time)?;
        }
        sheet.number(pod.restarts)?;
        sheet.number(pod.cpu_request.get())?;
        sheet.number(pod.memory_request.get())?;
        sheet.text(pod.reason.as_str())?;
        sheet.text(&pod.message)?;
        sheet.text(pod.workload.as_str())?;
        sheet.number(pod.deleted)?;
        sheet.end_row()?;
    }
    sheet.finish()
}

/// The managing controller as `Kind/name`, or nothing.
fn owner(pod: &PodRow) -> String {
    let mut owners = pod.owners.iter().flat_map(|owners| owners.iter());
    let managing: Option<&OwnerRef> = owners.find(|owner| owner.controller);
    managing.map(|owner| format!("{}/{}", owner.kind, owner.name)).unwrap_or_default()
}

fn nodes(results: &Results, out: &mut dyn Write) -> csv::Result<()> {
    let mut sheet = Sheet::new(out, &NODES)?;
    for node in &results.nodes {
        sheet.text(node.name.as_str())?;
        sheet.text(node.pool.as_str())?;
        sheet.text(node.zone.as_str())?;
        sheet.number(node.allocatable.cpu.get())?;
        sheet.number(node.allocatable.memory.get())?;
        sheet.number(node.allocatable.ephemeral_storage.get())?;
        sheet.text(&scalars(node))?;
        sheet.number(node.pods_capacity)?;
        sheet.number(node.pods)?;
        sheet.number(node.pods_max)?;
        sheet.number(node.cpu_allocated.get())?;
        sheet.number(node.memory_allocated.get())?;
        sheet.number(node.cpu_used.get())?;
        sheet.number(node.memory_used.get())?;
        sheet.span(node.uptime)?;
        sheet.span(node.ready)?;
        sheet.number(node.cost_usd)?;
        sheet.number(node.present)?;
        sheet.end_row()?;
    }
    sheet.finish()
}

/// Extended resources as `name=amount`, separated by spaces.
fn scalars(node: &NodeRow) -> String {
    let amounts = node.allocatable.scalars.iter().map(|(name, amount)| format!("{name}={amount}"));
    amounts.collect::<Vec<_>>().join(" ")
}

fn services(results: &Results, out: &mut dyn Write) -> csv::Result<()> {
    let mut sheet = Sheet::new(out, &SERVICES)?;
    for service in &results.services {
        sheet.text(service.namespace.as_str())?;
        sheet.text(&service.name)?;
        match service.availability_pct {
            Some(pct) => sheet.number(pct)?,
            None => sheet.text("")?,
        }
        sheet.span(service.down)?;
        sheet.span(service.wanted)?;
        sheet.end_row()?;
    }
    sheet.finish()
}

fn timeseries(results: &Results, out: &mut dyn Write) -> csv::Result<()> {
    let mut sheet = Sheet::new(out, &TIMESERIES)?;
    for series in &results.series {
        for (time, value) in &series.points {
            sheet.time(*time)?;
            sheet.text(series.metric.as_str())?;
            sheet.text(series.object.as_str())?;
            sheet.number(value)?;
            sheet.end_row()?;
        }
    }
    sheet.finish()
}
