//! Makes the claims of generic ephemeral volumes (upstream `pkg/controller/volume/ephemeral`).

use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{Pod, Volume, VolumeSource};
use seatrial_api::request::{Change, Request};
use seatrial_api::storage::{ClaimTemplate, PersistentVolumeClaim, ephemeral_claim_name};
use seatrial_api::symbol::Symbol;

use crate::Config;
use crate::framework::{
    Caches, Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner, controller_ref,
    first_error,
};

/// Workers of the controller.
const WORKERS: usize = 5;

/// The controller; its keys are rows of pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct EphemeralVolumeController;

impl EphemeralVolumeController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<EphemeralVolumeController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, EphemeralVolumeController, RetryPolicy::standard(), client, WORKERS)
    }
}

/// The volume whose claim is being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    volume: Symbol,
}

fn template_of(volume: &Volume) -> Option<&ClaimTemplate> {
    match &volume.source {
        VolumeSource::Ephemeral(template) => Some(template),
        _ => None,
    }
}

fn has_any(pod: &Pod) -> bool {
    pod.spec.volumes.iter().any(|volume| template_of(volume).is_some())
}

/// The claim of a pod's volume.
fn claim(pod: &Pod, name: &str, template: &ClaimTemplate) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        meta: ObjectMeta {
            labels: template.labels.clone(),
            annotations: template.annotations.clone(),
            owners: Some(Arc::new(vec![controller_ref(Kind::Pod, &pod.meta)])),
            ..ObjectMeta::named(pod.meta.namespace.as_str(), name)
        },
        spec: template.claim.clone(),
        ..PersistentVolumeClaim::default()
    }
}

fn refused(cx: &mut Context<'_>, pod: &Pod, volume: Symbol, why: &str) -> Next {
    let about = ObjectRef { kind: Kind::Pod, id: pod.meta.id };
    cx.event(about, Severity::Warning, "FailedBinding", || format!("ephemeral volume {volume}: {why}"));
    Next::Retry
}

impl Controller for EphemeralVolumeController {
    type Sync = Sync;

    fn minds(&self, _: &Caches, kind: Kind) -> bool {
        matches!(kind, Kind::Pod | Kind::PersistentVolumeClaim)
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) if event.old.is_none() && !pod.meta.is_deleting() && has_any(pod) => {
                cx.queue.add(pod.meta.id);
            }
            Object::PersistentVolumeClaim(claim) if event.change == Change::Deleted => {
                let pods = cx.caches.pods.using_claim(claim.meta.namespace, &claim.meta.name);
                for pod in pods.filter(|pod| !pod.meta.is_deleting() && has_any(pod)) {
                    cx.queue.add(pod.meta.id);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(pod) = cx.caches.pods.get(key).filter(|pod| !pod.meta.is_deleting()).cloned() else {
            return Next::Done;
        };
        let done = sync.volume;
        if let Some(error) = first_error(replies) {
            let name = ephemeral_claim_name(&pod.meta.name, done);
            return refused(cx, &pod, done, &format!("create PVC {name}: {error}"));
        }
        let volumes = pod.spec.volumes.iter().skip_while(|volume| !done.is_empty() && volume.name != done);
        for volume in volumes.skip(usize::from(!done.is_empty())) {
            let Some(template) = template_of(volume) else { continue };
            let name = ephemeral_claim_name(&pod.meta.name, volume.name);
            let namespace = pod.meta.namespace;
            match cx.caches.claims.named(namespace, &name) {
                None => {
                    sync.volume = volume.name;
                    let made = claim(&pod, &name, template);
                    return Next::send(Request::Create(Object::PersistentVolumeClaim(Arc::new(made))));
                }
                Some(claim) if claim.meta.controller().is_some_and(|owner| owner.uid == pod.meta.uid) => {}
                Some(_) => {
                    let pod_name = &pod.meta.name;
                    let why = format!(
                        "PVC {namespace}/{name} was not created for pod {namespace}/{pod_name} (pod is not the \
                         owner)"
                    );
                    return refused(cx, &pod, volume.name, &why);
                }
            }
        }
        Next::Done
    }
}
