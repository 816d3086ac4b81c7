//! Controllers and the pods that they make: owner references, pods from templates.

use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::meta::{MetaExtra, ObjectMeta, OwnerRef};
use seatrial_api::object::{Kind, Typed};
use seatrial_api::pod::{Pod, PodSpec, PodTemplate};
use seatrial_api::symbol::Symbol;

/// The reference by which a controller manages its dependents.
pub(crate) fn controller_ref(kind: Kind, owner: &ObjectMeta) -> OwnerRef {
    OwnerRef {
        kind: Symbol::new(kind.as_str()),
        api_version: Symbol::new(kind.api_version()),
        name: owner.name.clone(),
        uid: owner.uid,
        controller: true,
        block_owner_deletion: true,
    }
}

/// What all pods of one owner share beside their template.
#[derive(Clone, Debug)]
pub(crate) struct Parentage {
    /// The owner references: one, of the controller.
    pub(crate) owners: Arc<Vec<OwnerRef>>,
    /// `generateName` and finalizers.
    pub(crate) extra: Option<Arc<MetaExtra>>,
    /// The namespace.
    pub(crate) namespace: Symbol,
}

impl Parentage {
    /// For pods whose names are generated from the owner's.
    pub(crate) fn generated<T: Typed>(owner: &T, finalizers: Vec<Symbol>) -> Parentage {
        let mut generate_name = owner.meta().name.clone();
        generate_name.push('-');
        Parentage {
            owners: Arc::new(vec![controller_ref(T::KIND, owner.meta())]),
            extra: Some(Arc::new(MetaExtra { generate_name, finalizers, ..MetaExtra::default() })),
            namespace: owner.meta().namespace,
        }
    }

    /// A pod from a template: specification, labels and owner are shared, nothing is copied.
    pub(crate) fn pod(&self, template: &PodTemplate) -> Pod {
        self.pod_with(template.labels.clone(), template.annotations.clone(), template.spec.clone())
    }

    /// A pod with labels and annotations of its own.
    pub(crate) fn pod_with(&self, labels: Labels, annotations: Labels, spec: Arc<PodSpec>) -> Pod {
        let meta = ObjectMeta {
            namespace: self.namespace,
            labels,
            annotations,
            owners: Some(self.owners.clone()),
            extra: self.extra.clone(),
            ..ObjectMeta::default()
        };
        Pod::new(meta, spec)
    }
}
