//! Saying what is wrong with a scenario once it is read as a whole.

use std::sync::Arc;

use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath};

use crate::schema::{Placed, nearest};

/// The scenario that is being checked, and what was found so far.
pub(super) struct Checker<'a> {
    pub(super) file: Arc<str>,
    pub(super) findings: &'a mut Diagnostics,
    /// What has errors itself, so that no name can be said to be missing there.
    incomplete: Vec<Referent>,
}

/// What a name in a scenario can refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Referent {
    /// Nodes, pools, zones and racks.
    Machines,
    /// Objects of manifests and of the state.
    Objects,
    /// Faults and entries of the timeline.
    Happenings,
    /// What the format itself defines.
    Format,
}

impl Referent {
    /// The fields of a scenario that define such names.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Referent::Machines => &["nodes", "state"],
            Referent::Objects => &["manifests", "state", "timeline"],
            Referent::Happenings => &["faults", "timeline"],
            Referent::Format => &[],
        }
    }
}

impl<'a> Checker<'a> {
    /// A checker of the scenario that messages call `file`, after its fields were read and its
    /// manifests.
    pub(super) fn new(file: &Arc<str>, findings: &'a mut Diagnostics) -> Checker<'a> {
        let has_errors = |referent: &Referent| {
            findings.errors().any(|error| match error.file == *file {
                true => referent.fields().iter().any(|field| is_below(field, &error.path)),
                // Manifests and dumps define objects, nodes among them.
                false => *referent != Referent::Happenings,
            })
        };
        let all = [Referent::Machines, Referent::Objects, Referent::Happenings];
        let incomplete = all.into_iter().filter(has_errors).collect();
        Checker { file: file.clone(), findings, incomplete }
    }

    /// Runs `define`, which defines what `referent` stands for, and notes whether it had errors.
    pub(super) fn defining<T>(&mut self, referent: Referent, define: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.findings.error_count();
        let defined = define(self);
        if self.findings.error_count() > before {
            self.incomplete.push(referent);
        }
        defined
    }

    /// Adds an error about a placed value.
    pub(super) fn error<T>(&mut self, place: &Placed<T>, say: impl FnOnce(Diagnostic) -> Diagnostic) {
        let error = Diagnostic::error(&self.file, place.position, &FieldPath::ROOT);
        self.findings.push(say(Diagnostic { path: place.path.clone(), ..error }));
    }

    /// Adds a warning about a placed value.
    pub(super) fn warning<T>(&mut self, place: &Placed<T>, say: impl FnOnce(Diagnostic) -> Diagnostic) {
        let warning = Diagnostic::warning(&self.file, place.position, &FieldPath::ROOT);
        self.findings.push(say(Diagnostic { path: place.path.clone(), ..warning }));
    }

    /// Says that there is no `what` of the name that a placed value gives, unless what defines such
    /// names has errors itself.
    pub(super) fn missing<'n, T>(
        &mut self,
        place: &Placed<T>,
        (referent, what): (Referent, &str),
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        if self.incomplete.contains(&referent) {
            return;
        }
        let known: Vec<&str> = known.into_iter().collect();
        self.error(place, |error| {
            let error = error.message(format!("there is no {what} {name}"));
            match hint(name, &known) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        });
    }
}

/// Whether `path` is the field or something in it.
fn is_below(field: &str, path: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// How many names a message lists.
const LISTED: usize = 6;

/// What somebody who asked for `name` may have meant, or may choose from.
fn hint(name: &str, known: &[&str]) -> Option<String> {
    let last = |full: &str| full.rsplit('/').next().map(str::to_owned);
    let namesake = known.iter().find(|full| last(full) == last(name));
    if let Some(near) = nearest(name, known.iter().copied()).or(namesake.copied()) {
        return Some(format!("did you mean {near}?"));
    }
    match known {
        [] => None,
        few if few.len() <= LISTED => Some(format!("there is {}", few.join(", "))),
        many => Some(format!("there is {} and {} more", many[..LISTED].join(", "), many.len() - LISTED)),
    }
}
