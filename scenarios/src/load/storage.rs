//! The storage of a run: the classes that nobody describes, and how volumes behave.

use std::collections::BTreeSet;
use std::sync::Arc;

use seatrial_api::document::{Diagnostic, FieldPath, Position};
use seatrial_api::object::Object;
use seatrial_api::pod::VolumeSource;
use seatrial_api::storage::{ClaimSpec, StorageClass};
use seatrial_api::symbol::Symbol;
use seatrial_sim_core::cluster::config::{StorageModel, StorageProfile};

use super::check::Checker;
use super::objects::pod_spec;
use crate::file::law::Law;
use crate::file::storage::ClassStorage;

/// The storage that `objects` find.
///
/// A class that claims name and that nobody describes is taken for the zonal block storage that
/// clouds offer, unless volumes of that class are made by hand. Where no class is the default one,
/// `standard` is.
pub(super) fn storage(
    written: &[ClassStorage],
    objects: &[&Object],
    file: &Arc<str>,
    checker: &mut Checker<'_>,
) -> StorageModel {
    let described: Vec<&StorageClass> = objects.iter().filter_map(|object| as_class(object)).collect();
    let has_default = described.iter().any(|class| class.is_default());
    let mut model = if has_default { StorageModel::default() } else { StorageModel::standard() };
    let by_hand = objects.iter().filter_map(|object| match object {
        Object::PersistentVolume(volume) => Some(volume.storage_class),
        _ => None,
    });
    let mut known: BTreeSet<Symbol> = by_hand.collect();
    known.extend(described.iter().map(|class| Symbol::new(&class.meta.name)));
    known.extend(model.classes.iter().map(|class| Symbol::new(&class.meta.name)));
    let named: BTreeSet<Symbol> = objects.iter().flat_map(|object| claims_of(object)).collect();
    for name in named {
        if name.is_empty() || !known.insert(name) {
            continue;
        }
        let warning = Diagnostic::warning(file, Position::NONE, &FieldPath::ROOT);
        let message = format!(
            "claims name the StorageClass {name}, which nobody describes: it is taken for block storage that \
             is made in the zone of the first pod and reached from there alone"
        );
        let hint = "add the class to the manifests, and to storage what differs from that";
        checker.findings.push(warning.message(message).hint(hint));
        model.classes.push(StorageModel::block_class(name.as_str()));
    }
    for entry in written {
        let class = Symbol::new(&entry.class.value.0);
        if !known.contains(&class) {
            let message = format!("there is no StorageClass {class}");
            checker.error(&entry.class, |error| error.message(message));
        }
        if model.profiles.iter().any(|profile: &StorageProfile| profile.class == class) {
            let message = format!("there is another entry for the StorageClass {class}");
            checker.error(&entry.class, |error| error.message(message));
        }
        model.profiles.push(profile(entry));
    }
    model
}

fn profile(written: &ClassStorage) -> StorageProfile {
    let law = |given: &Option<Law<_>>| given.as_ref().map(|Law(law)| law.clone());
    StorageProfile {
        class: Symbol::new(&written.class.value.0),
        zonal: written.zonal,
        capacity: written.capacity,
        provision: law(&written.provision),
        delete: law(&written.delete),
        attach: law(&written.attach),
        detach: law(&written.detach),
    }
}

fn as_class(object: &Object) -> Option<&StorageClass> {
    match object {
        Object::StorageClass(class) => Some(class),
        _ => None,
    }
}

/// The classes that an object's claims name.
fn claims_of(object: &Object) -> Vec<Symbol> {
    let class = |claim: &ClaimSpec| claim.storage_class;
    let mut names: Vec<Symbol> = match object {
        // A claim that is bound has its volume, whatever its class was.
        Object::PersistentVolumeClaim(claim) if claim.spec.volume_name.is_empty() => {
            class(&claim.spec).into_iter().collect()
        }
        Object::StatefulSet(set) => {
            set.claim_templates.iter().filter_map(|template| class(&template.claim)).collect()
        }
        _ => Vec::new(),
    };
    let volumes = pod_spec(object).into_iter().flat_map(|spec| spec.volumes.iter());
    names.extend(volumes.filter_map(|volume| match &volume.source {
        VolumeSource::Ephemeral(template) => class(&template.claim),
        _ => None,
    }));
    names
}
