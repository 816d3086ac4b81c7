//! What the API server sees to with storage objects: admission's default class and protecting
//! finalizers, and which changes of a claim are possible.

use std::sync::Arc;

use super::ApiServer;
use crate::meta::ObjectMeta;
use crate::object::Object;
use crate::request::{ApiError, ErrorReason};
use crate::storage::{
    AccessModes, CLAIM_PROTECTION, ClaimPhase, ClaimResize, ClaimSpec, PersistentVolume,
    PersistentVolumeClaim, StorageClass, VOLUME_PROTECTION, VolumeAttachment, VolumePhase,
};
use crate::symbol::Symbol;
use crate::units::Bytes;

/// Annotations that the system writes into claims and volumes.
const OWN_ANNOTATIONS: [&str; 3] =
    ["pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/"];
/// The annotation that was a claim's class before there was a field.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

impl ApiServer {
    /// A new claim is Pending; without a class it gets the default one (admission
    /// DefaultStorageClass), and it is protected.
    pub(super) fn prepare_claim(&self, claim: &mut PersistentVolumeClaim) {
        claim.phase = ClaimPhase::Pending;
        claim.granted_modes = AccessModes::default();
        claim.capacity = Bytes(0);
        claim.resize = ClaimResize::None;
        if claim.spec.storage_class.is_none() && !claim.has_annotation(BETA_CLASS) {
            let default = StorageClass::default_of(self.list_typed::<StorageClass>());
            claim.spec.storage_class = default.map(|class| Symbol::new(&class.meta.name));
        }
        protect(&mut claim.meta, CLAIM_PROTECTION);
    }

    /// Whether a claim may be changed like this: what may not be changed, and the rules for asking
    /// for more (admission PersistentVolumeClaimResize).
    pub(super) fn check_storage_update(&self, stored: &Object, next: &Object) -> Result<(), ApiError> {
        let (Object::PersistentVolumeClaim(old), Object::PersistentVolumeClaim(new)) = (stored, next) else {
            return Ok(());
        };
        let is_bound = old.phase == ClaimPhase::Bound;
        let named_now = old.spec.volume_name.is_empty();
        let classified_now = old.spec.storage_class.is_none();
        let allowed = ClaimSpec {
            volume_name: if named_now { new.spec.volume_name } else { old.spec.volume_name },
            storage_class: if classified_now { new.spec.storage_class } else { old.spec.storage_class },
            request: if is_bound { new.spec.request } else { old.spec.request },
            attributes_class: if is_bound { new.spec.attributes_class } else { old.spec.attributes_class },
            ..old.spec.clone()
        };
        if new.spec != allowed {
            let detail = "spec: Forbidden: spec is immutable after creation except resources.requests and \
                          volumeAttributesClassName for bound claims";
            return Err(invalid(&old.meta, detail));
        }
        if new.spec.request < old.spec.request && new.spec.request <= old.capacity {
            let detail =
                "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity";
            return Err(invalid(&old.meta, detail));
        }
        if new.spec.request > old.spec.request { self.check_expansion(old) } else { Ok(()) }
    }

    fn check_expansion(&self, claim: &PersistentVolumeClaim) -> Result<(), ApiError> {
        let detail = if claim.phase != ClaimPhase::Bound {
            "Only bound persistent volume claims can be expanded"
        } else {
            let class = claim.spec.storage_class.filter(|class| !class.is_empty());
            let named =
                |class: &&Arc<StorageClass>| Some(Symbol::new(&class.meta.name)) == claim.spec.storage_class;
            let found = class.and_then(|_| self.list_typed::<StorageClass>().find(named));
            if found.is_some_and(|class| class.allow_expansion) {
                return Ok(());
            }
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
             support resize"
        };
        let message = format!("persistentvolumeclaims \"{}\" is forbidden: {detail}", claim.meta.name);
        Err(ApiError::new(ErrorReason::Forbidden, message))
    }
}

/// A new volume is Pending, and protected.
pub(super) fn prepare_volume(volume: &mut PersistentVolume) {
    volume.phase = VolumePhase::Pending;
    volume.message = Symbol::empty();
    protect(&mut volume.meta, VOLUME_PROTECTION);
}

/// A new attachment is only asked for.
pub(super) fn prepare_attachment(attachment: &mut VolumeAttachment) {
    attachment.attached = false;
    attachment.attach_error = Symbol::empty();
    attachment.detach_error = Symbol::empty();
}

/// Admission StorageObjectInUseProtection.
fn protect(meta: &mut ObjectMeta, finalizer: &str) {
    let finalizer = Symbol::new(finalizer);
    if !meta.finalizers().contains(&finalizer) {
        let finalizers = meta.finalizers().iter().copied().chain([finalizer]).collect();
        meta.set_finalizers(finalizers);
    }
}

/// What an applied manifest does not mention and the system has written stays: the partner of a
/// claim or a volume, its class, annotations and finalizers.
pub(super) fn keep_bindings(stored: &Object, object: &mut Object) {
    match (stored, &mut *object) {
        (Object::PersistentVolumeClaim(old), Object::PersistentVolumeClaim(new)) => {
            let new = Arc::make_mut(new);
            if new.spec.volume_name.is_empty() {
                new.spec.volume_name = old.spec.volume_name;
            }
            new.spec.storage_class = new.spec.storage_class.or(old.spec.storage_class);
            keep_meta(&old.meta, &mut new.meta);
        }
        (Object::PersistentVolume(old), Object::PersistentVolume(new)) => {
            let new = Arc::make_mut(new);
            if new.claim.is_none() || old.is_claimed_like(new) {
                new.claim = old.claim.clone();
            }
            keep_meta(&old.meta, &mut new.meta);
        }
        _ => {}
    }
}

impl PersistentVolume {
    /// Whether another version names the same claim, perhaps without its identity.
    fn is_claimed_like(&self, other: &PersistentVolume) -> bool {
        let name =
            |volume: &PersistentVolume| volume.claim.as_ref().map(|claim| (claim.namespace, claim.name));
        name(self) == name(other)
    }
}

fn keep_meta(old: &ObjectMeta, new: &mut ObjectMeta) {
    for &(key, value) in old.annotations.iter() {
        let is_own = OWN_ANNOTATIONS.iter().any(|prefix| key.as_str().starts_with(prefix));
        if is_own && new.annotations.get(key).is_none() {
            new.annotations = new.annotations.with(key, value);
        }
    }
    let lacking = old.finalizers().iter().copied().filter(|finalizer| !new.finalizers().contains(finalizer));
    let finalizers = lacking.chain(new.finalizers().iter().copied()).collect();
    new.set_finalizers(finalizers);
}

fn invalid(meta: &ObjectMeta, detail: &str) -> ApiError {
    let message = format!("PersistentVolumeClaim \"{}\" is invalid: {detail}", meta.name);
    ApiError::new(ErrorReason::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;
    use crate::object::{Kind, ObjectRef, Typed};
    use crate::request::{Patch, Request, Subresource};
    use crate::storage::{DEFAULT_CLASS, VolumeMode};
    use crate::units::SimTime;
    use crate::version::KubernetesVersion;

    const GIB: i64 = 1 << 30;

    struct Store(ApiServer);

    impl Store {
        fn request(&mut self, request: Request) -> Result<Object, ApiError> {
            self.0.handle(SimTime::ZERO, request, &mut Vec::new())
        }

        fn create<T: Typed>(&mut self, object: T) -> Arc<T> {
            let reply = self.request(Request::Create(T::wrap(Arc::new(object)))).expect("it is accepted");
            T::of(&reply).expect("of the same kind").clone()
        }

        fn write(
            &mut self,
            claim: &PersistentVolumeClaim,
            change: impl FnOnce(&mut PersistentVolumeClaim),
            subresource: Subresource,
        ) -> Result<Object, ApiError> {
            let mut next = claim.clone();
            change(&mut next);
            let object = Object::PersistentVolumeClaim(Arc::new(next));
            self.request(Request::Update { object, subresource })
        }
    }

    fn store() -> Store {
        let mut store = Store(ApiServer::new(KubernetesVersion::V1_36, 1));
        let namespace = crate::config::Namespace { meta: ObjectMeta::named("", "ns"), ..Default::default() };
        store.create(namespace);
        store
    }

    fn claim(class: Option<&str>) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            meta: ObjectMeta::named("ns", "c"),
            spec: ClaimSpec {
                request: Bytes(2 * GIB),
                storage_class: class.map(Symbol::new),
                ..ClaimSpec::default()
            },
            ..PersistentVolumeClaim::default()
        }
    }

    fn class(name: &str, default: bool, allow_expansion: bool) -> StorageClass {
        let mut class =
            StorageClass { meta: ObjectMeta::named("", name), allow_expansion, ..StorageClass::default() };
        if default {
            class.meta.annotations = Labels::of(&[(DEFAULT_CLASS, "true")]);
        }
        class
    }

    #[test]
    fn a_new_claim_gets_the_default_class_and_is_protected() {
        for (given, expected) in [(None, Some("standard")), (Some(""), Some("")), (Some("x"), Some("x"))] {
            let mut store = store();
            store.create(class("standard", true, false));
            store.create(class("other", false, false));
            let claim = store.create(claim(given));
            assert_eq!(claim.spec.storage_class, expected.map(Symbol::new));
            assert_eq!(claim.meta.finalizers(), [CLAIM_PROTECTION]);
        }
        assert_eq!(store().create(claim(None)).spec.storage_class, None);
    }

    #[test]
    fn a_new_volume_is_pending_and_protected() {
        let volume = PersistentVolume {
            meta: ObjectMeta::named("", "v"),
            phase: VolumePhase::Bound,
            ..PersistentVolume::default()
        };
        let volume = store().create(volume);
        assert_eq!(
            (volume.phase, volume.meta.finalizers()),
            (VolumePhase::Pending, &[VOLUME_PROTECTION.into()][..])
        );
    }

    #[test]
    fn a_claim_can_be_bound_once_and_grow_if_its_class_allows() {
        let immutable = "PersistentVolumeClaim \"c\" is invalid: spec: Forbidden: spec is immutable after creation \
                         except resources.requests and volumeAttributesClassName for bound claims";
        let shrinks = "PersistentVolumeClaim \"c\" is invalid: spec.resources.requests.storage: Forbidden: field \
                       can not be less than status.capacity";
        let no_growth = "persistentvolumeclaims \"c\" is forbidden: only dynamically provisioned pvc can be resized \
                         and the storageclass that provisions the pvc must support resize";
        type Change = fn(&mut PersistentVolumeClaim);
        let grow: Change = |claim| claim.spec.request = Bytes(5 * GIB);
        let shrink: Change = |claim| claim.spec.request = Bytes(GIB);
        let rebind: Change = |claim| claim.spec.volume_name = "other".into();
        let rows: Vec<(bool, &str, Change, Option<&str>)> = vec![
            (false, "grows", |claim| claim.spec.volume_name = "v".into(), None),
            (false, "grows", |claim| claim.spec.volume_mode = VolumeMode::Block, Some(immutable)),
            (false, "grows", |claim| claim.spec.storage_class = Some("x".into()), Some(immutable)),
            (false, "grows", grow, Some(immutable)),
            (true, "grows", grow, None),
            (true, "stays", grow, Some(no_growth)),
            (true, "unknown", grow, Some(no_growth)),
            (true, "grows", shrink, Some(shrinks)),
            (true, "grows", rebind, Some(immutable)),
        ];
        for (bound, class_name, change, refusal) in rows {
            let mut store = store();
            store.create(class("grows", false, true));
            store.create(class("stays", false, false));
            let mut stored = store.create(claim(Some(class_name)));
            if bound {
                store
                    .write(&stored, |claim| claim.spec.volume_name = "v".into(), Subresource::Main)
                    .expect("named");
                stored = store.0.typed::<PersistentVolumeClaim>(stored.meta.id).expect("there").clone();
                let status = |claim: &mut PersistentVolumeClaim| {
                    (claim.phase, claim.capacity) = (ClaimPhase::Bound, Bytes(2 * GIB));
                };
                store.write(&stored, status, Subresource::Status).expect("bound");
                stored = store.0.typed::<PersistentVolumeClaim>(stored.meta.id).expect("there").clone();
            }
            let answer = store.write(&stored, change, Subresource::Main).map_err(|error| error.message);
            assert_eq!(answer.err().as_deref(), refusal, "{class_name}, bound: {bound}");
        }
    }

    #[test]
    fn a_manifest_that_is_applied_again_does_not_unbind() {
        let mut store = store();
        let stored = store.create(claim(None));
        let bind = |claim: &mut PersistentVolumeClaim| {
            claim.spec.volume_name = "v".into();
            claim.meta.annotations = Labels::of(&[("pv.kubernetes.io/bind-completed", "yes")]);
        };
        store.write(&stored, bind, Subresource::Main).expect("bound");
        let manifest = Object::PersistentVolumeClaim(Arc::new(claim(None)));
        let Ok(Object::PersistentVolumeClaim(next)) = store.request(Request::Apply(manifest)) else {
            panic!("it is applied");
        };
        assert!(next.is_fully_bound());
        assert_eq!(next.meta.finalizers(), [CLAIM_PROTECTION]);
    }

    #[test]
    fn what_drivers_write_changes_only_that() {
        let mut store = store();
        let claim = store.create(claim(None));
        let target = ObjectRef { kind: Kind::PersistentVolumeClaim, id: claim.meta.id };
        let patch = Patch::ClaimResize(ClaimResize::Controller, None);
        let Ok(Object::PersistentVolumeClaim(next)) = store.request(Request::Patch { target, patch }) else {
            panic!("it is patched");
        };
        assert_eq!(
            (next.resize, next.capacity, &next.spec),
            (ClaimResize::Controller, Bytes(0), &claim.spec)
        );
        let patch = Patch::Attached(true);
        assert!(store.request(Request::Patch { target, patch }).is_err(), "a claim is not attached");
    }
}
