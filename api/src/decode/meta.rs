//! The metadata of objects.

use super::names::{self, NameForm};
use super::reader::Reader;
use crate::labels::Labels;
use crate::meta::{Deletion, MetaExtra, ObjectMeta, OwnerRef, Uid};
use crate::object::Kind;
use crate::symbol::Symbol;
use crate::version::KubernetesVersion;
use std::sync::Arc;

/// The longest name of a CronJob's and a generated name's base.
const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

/// Reads `metadata`, which every object must have.
pub(super) fn object_meta(object: &Reader<'_>, kind: Kind) -> ObjectMeta {
    if !object.has("metadata") {
        object.invalid("metadata", "a mapping with the object's name");
    }
    object.object("metadata", |meta| read_meta(meta, kind)).unwrap_or_default()
}

fn read_meta(meta: &Reader<'_>, kind: Kind) -> ObjectMeta {
    // What the server keeps about the history of the object.
    meta.known(&["managedFields", "selfLink"]);
    let mut result = ObjectMeta {
        name: meta.text("name"),
        namespace: namespace(meta, kind),
        labels: labels(meta, "labels"),
        annotations: annotations(meta, "annotations"),
        owners: owners(meta),
        extra: extra(meta),
        ..ObjectMeta::default()
    };
    check_name(meta, kind, &result);
    let assigned = ["uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"];
    if !meta.cx.is_state() {
        meta.known(&assigned);
        meta.known(&["deletionGracePeriodSeconds"]);
        return result;
    }
    result.uid = meta.str("uid").map_or(Uid::default(), Uid::parse);
    result.resource_version = meta.str("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
    result.generation = meta.int("generation", 0..=i64::MAX).unwrap_or(0);
    result.created = meta.time("creationTimestamp").unwrap_or_default();
    let grace_seconds = meta.int("deletionGracePeriodSeconds", 0..=i64::from(u32::MAX)).unwrap_or(0) as u32;
    result.set_deletion(meta.time("deletionTimestamp").map(|at| Deletion { at, grace_seconds }));
    result
}

fn namespace(meta: &Reader<'_>, kind: Kind) -> Symbol {
    let written = meta.symbol("namespace");
    match kind {
        // Whether a kind without a type lives in a namespace is not known here.
        Kind::Untyped => written,
        _ if !kind.is_namespaced() => Symbol::empty(),
        _ if written.is_empty() => Symbol::new("default"),
        _ => {
            if !names::is_label(written.as_str()) {
                meta.invalid("namespace", NameForm::Label.describe());
            }
            written
        }
    }
}

fn check_name(meta: &Reader<'_>, kind: Kind, read: &ObjectMeta) {
    let generated = read.extra.as_ref().is_some_and(|extra| !extra.generate_name.is_empty());
    if read.name.is_empty() {
        if !generated {
            meta.invalid("name", "a name, or generateName");
        }
        return;
    }
    let form = match kind {
        Kind::Namespace | Kind::StatefulSet => NameForm::Label,
        Kind::Service if meta.cx.version == KubernetesVersion::V1_34 => NameForm::LetterLabel,
        Kind::Service => NameForm::Label,
        Kind::PodDisruptionBudget | Kind::Untyped => NameForm::PathSegment,
        _ => NameForm::Subdomain,
    };
    if !form.admits(&read.name) {
        meta.invalid("name", form.describe());
    }
}

/// Reads the labels in the field `key`.
pub(super) fn labels(reader: &Reader<'_>, key: &'static str) -> Labels {
    let pairs = reader.pairs(key, |key, value| {
        if !names::is_qualified_key(key) {
            return Err("a key such as app or example.com/app".to_owned());
        }
        if !names::is_label_value(value) {
            return Err("a value of at most 63 letters, digits, '-', '_' and '.'".to_owned());
        }
        Ok(())
    });
    symbol_pairs(pairs)
}

/// Reads the annotations in the field `key`.
pub(super) fn annotations(reader: &Reader<'_>, key: &'static str) -> Labels {
    let pairs = reader.pairs(key, |key, _| {
        let valid = names::is_annotation_key(key);
        valid.then_some(()).ok_or_else(|| "a key such as note or example.com/note".to_owned())
    });
    if pairs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > ANNOTATIONS_MAX_BYTES {
        reader.refuse(key, "annotations of more than 256 KiB in all");
    }
    symbol_pairs(pairs)
}

fn symbol_pairs(pairs: Vec<(&str, &str)>) -> Labels {
    Labels::new(pairs.into_iter().map(|(key, value)| (Symbol::new(key), Symbol::new(value))).collect())
}

fn owners(meta: &Reader<'_>) -> Option<Arc<Vec<OwnerRef>>> {
    let owners = meta.list("ownerReferences", |owner| OwnerRef {
        kind: owner.required_symbol("kind"),
        api_version: owner.required_symbol("apiVersion"),
        name: owner.required_str("name").into(),
        uid: Uid::parse(owner.required_str("uid")),
        controller: owner.bool("controller"),
        block_owner_deletion: owner.bool("blockOwnerDeletion"),
    });
    if owners.iter().filter(|owner| owner.controller).count() > 1 {
        meta.refuse("ownerReferences", "only one owner can have controller: true");
    }
    (!owners.is_empty()).then(|| Arc::new(owners))
}

fn extra(meta: &Reader<'_>) -> Option<Arc<MetaExtra>> {
    let finalizers = meta.symbols("finalizers").into_vec();
    for finalizer in &finalizers {
        let standard = ["kubernetes", "foregroundDeletion", "orphan"].contains(&finalizer.as_str());
        let with_domain = finalizer.as_str().contains('/') && names::is_qualified_key(finalizer.as_str());
        if !standard && !with_domain {
            meta.refuse("finalizers", format!("a finalizer has a domain, as in example.com/{finalizer}"));
        }
    }
    let extra = MetaExtra { generate_name: meta.text("generateName"), finalizers, written: None };
    (extra != MetaExtra::default()).then(|| Arc::new(extra))
}
