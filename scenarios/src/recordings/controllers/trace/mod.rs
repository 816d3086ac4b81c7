//! Writes what happens in the recordings' own schema: objects by alias, changes of their
//! interesting fields, Events.

mod aliases;
mod fields;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use seatrial_api::calendar::Calendar;
use seatrial_api::machine::Severity;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use serde_json::{Map, Value, json};

use aliases::Aliases;
pub(super) use aliases::UNTRACED;

/// The trace of a run.
pub(super) struct Trace {
    entries: Vec<Value>,
    start: SimTime,
    calendar: Calendar,
    aliases: Aliases,
    /// The fields of every object as they were last.
    states: BTreeMap<ObjectRef, Map<String, Value>>,
    /// The taints that nodes had when they were created: nobody noted when they were added.
    given_taints: BTreeMap<ObjectRef, Vec<String>>,
    /// Addresses and ports that the scenario itself names; all others are allocated.
    named: BTreeSet<String>,
    muted: bool,
}

/// An Event as a recorder writes it.
pub(super) struct Note<'a> {
    /// The object that it is about.
    pub(super) object: ObjectRef,
    /// Routine or trouble.
    pub(super) severity: Severity,
    /// The reason.
    pub(super) reason: &'a str,
    /// The message.
    pub(super) message: &'a str,
    /// Who says it.
    pub(super) from: &'a str,
    /// How often it has been said.
    pub(super) count: u32,
}

impl Trace {
    /// A trace that counts from `start`, with dates by `calendar`. Objects of `namespace` are called
    /// by their name alone.
    pub(super) fn new(
        start: SimTime,
        calendar: Calendar,
        namespace: Symbol,
        named: BTreeSet<String>,
    ) -> Trace {
        Trace {
            entries: Vec::new(),
            start,
            calendar,
            aliases: Aliases::new(namespace),
            states: BTreeMap::new(),
            given_taints: BTreeMap::new(),
            named,
            muted: true,
        }
    }

    /// From now on changes are written; before, objects only get their aliases.
    pub(super) fn begin(&mut self) {
        self.muted = false;
    }

    /// The newest object with an alias.
    pub(super) fn find(&self, alias: &str) -> Option<ObjectRef> {
        self.aliases.find(alias)
    }

    /// The alias of an object that was seen.
    pub(super) fn alias(&self, object: ObjectRef) -> Option<&str> {
        self.aliases.of(object)
    }

    /// The namespace of an object that was seen.
    pub(super) fn namespace_of(&self, object: ObjectRef) -> Symbol {
        self.aliases.namespace_of(object)
    }

    /// The kind of the objects with such an alias.
    pub(super) fn kind_of(&self, alias: &str) -> Option<Kind> {
        let prefix = alias.split(':').next()?;
        Kind::ALL.iter().copied().find(|kind| aliases::prefix(*kind) == Some(prefix))
    }

    /// How messages call the object of an alias that is not there any more: a generated name stands
    /// by its alias.
    pub(super) fn name_in_messages(&self, alias: &str) -> String {
        let name = alias.split_once(':').map_or(alias, |parts| parts.1);
        if name.contains(['#', '@']) {
            return format!("{{{alias}}}");
        }
        let name = name.rsplit_once('/').map_or(name, |parts| parts.1);
        name.split('~').next().unwrap_or(name).to_owned()
    }

    /// A text in which generated names and identities stand by their aliases, as far as they are
    /// known now.
    pub(super) fn aliased(&self, message: &str) -> String {
        text::aliased(message, &self.aliases)
    }

    /// Takes a change in.
    pub(super) fn change(&mut self, now: SimTime, event: &WatchEvent) {
        let target = event.object.object_ref();
        if event.change == Change::Added {
            self.aliases.enter(&event.object);
            if let Object::Node(node) = &event.object {
                let given = node.taints().iter().map(fields::taint).collect();
                self.given_taints.insert(target, given);
            }
        }
        let Some(alias) = self.aliases.of(target).map(str::to_owned) else { return };
        if event.change == Change::Deleted {
            self.states.remove(&target);
            self.push(now, json!({"v": "deleted", "o": alias}));
            return;
        }
        let around = fields::Around {
            aliases: &self.aliases,
            start: self.start,
            calendar: self.calendar,
            given_taints: self.given_taints.get(&target).map_or(&[], Vec::as_slice),
            named: &self.named,
        };
        let state = fields::state(&event.object, &around);
        let old = self.states.insert(target, state.clone());
        let mut set = Map::new();
        for (field, value) in &state {
            if old.as_ref().and_then(|old| old.get(field)) != Some(value) {
                set.insert(field.clone(), value.clone());
            }
        }
        for field in old.iter().flat_map(Map::keys).filter(|field| !state.contains_key(*field)) {
            set.insert(field.clone(), Value::Null);
        }
        match old {
            None => self.push(now, json!({"v": "added", "o": alias, "set": set})),
            Some(_) if set.is_empty() => {}
            Some(_) => self.push(now, json!({"v": "modified", "o": alias, "set": set})),
        }
    }

    /// Takes an Event in.
    pub(super) fn event(&mut self, now: SimTime, note: &Note<'_>) {
        let Some(alias) = self.aliases.of(note.object).map(str::to_owned) else { return };
        let kind = match note.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        let mut entry = json!({
            "v": "event", "o": alias, "type": kind, "reason": note.reason, "message": note.message,
            "from": note.from,
        });
        if note.count > 1 {
            entry["count"] = json!(note.count);
        }
        self.push(now, entry);
    }

    fn push(&mut self, now: SimTime, entry: Value) {
        if self.muted {
            return;
        }
        let mut whole = Map::new();
        whole.insert("t".to_owned(), json!(hundredths(now - self.start)));
        whole.extend(entry.as_object().cloned().unwrap_or_default());
        self.entries.push(Value::Object(whole));
    }

    /// The entries, generated names in texts replaced by aliases. Of several objects of a name the
    /// last counts, as in the recordings.
    pub(super) fn finish(self) -> Vec<Value> {
        let mut entries = self.entries;
        let alias = |value: &mut Value| {
            if let Value::String(message) = value {
                *message = text::aliased(message, &self.aliases);
            }
        };
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.get_mut("message").map(&alias);
            let Some(fields) = entry.get_mut("set").and_then(Value::as_object_mut) else { continue };
            for name in ["currentRevision", "updateRevision", "volume"] {
                fields.get_mut(name).map(&alias);
            }
            let conditions = fields.get_mut("conditions").and_then(Value::as_object_mut);
            let rows = conditions.into_iter().flat_map(Map::values_mut).filter_map(Value::as_array_mut);
            rows.filter_map(|row| row.get_mut(2)).for_each(&alias);
        }
        entries
    }
}

/// A time in hundredths of a second.
fn hundredths(span: seatrial_api::units::Span) -> f64 {
    (span.as_secs_f64() * 100.0).round() / 100.0
}
