//! Owners that a dump names and does not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath, Position};
use seatrial_api::meta::Uid;
use seatrial_api::object::Object;

/// The uids of owners that `state` names and does not hold; says how many there are of each kind.
pub(super) fn absent(state: &[Object], file: &Arc<str>, findings: &mut Diagnostics) -> Vec<Uid> {
    let there: BTreeSet<Uid> = state.iter().map(|object| object.meta().uid).collect();
    let mut absent = BTreeSet::new();
    let mut counts: BTreeMap<&str, (u32, String)> = BTreeMap::new();
    for object in state {
        for owner in object.meta().owner_refs() {
            if !there.contains(&owner.uid) && absent.insert(owner.uid) {
                let example = || format!("{} of {} {}", owner.name, object.kind(), object.meta().full_name());
                let count = counts.entry(owner.kind.as_str()).or_insert_with(|| (0, example()));
                count.0 += 1;
            }
        }
    }
    for (kind, (count, example)) in counts {
        let warning = Diagnostic::warning(file, Position::NONE, &FieldPath::ROOT);
        let owners = if count == 1 { "owner" } else { "owners" };
        let message = format!(
            "the state names {count} {owners} of kind {kind} that it does not hold, such as {example}; \
             owners left out count as present"
        );
        findings.push(
            warning.message(message).hint(format!("dump objects of kind {kind} too, so that they act")),
        );
    }
    absent.into_iter().collect()
}
