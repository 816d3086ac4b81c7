//! Saying what is wrong with a scenario once it is read as a whole.

use std::sync::Arc;

use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath};

use crate::schema::{Placed, nearest};

/// The scenario that is being checked, and what was found so far.
pub(super) struct Checker<'a> {
    pub(super) file: Arc<str>,
    pub(super) findings: &'a mut Diagnostics,
}

impl Checker<'_> {
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

    /// Says that there is no `what` of the name that a placed value gives.
    pub(super) fn missing<'n, T>(
        &mut self,
        place: &Placed<T>,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
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
