//! Tells claims that ask for more than they have that their driver will see to it (upstream
//! `pkg/controller/volume/expand`). The expansion itself is the driver's and the kubelet's.

use seatrial_api::machine::Severity;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::request::{Change, Request};
use seatrial_api::storage::{ClaimPhase, PersistentVolumeClaim};
use seatrial_api::symbol::Symbol;

use crate::Config;
use crate::framework::{Caches, Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner};

/// Workers of the controller.
const WORKERS: usize = 10;

/// The controller; its keys are rows of claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpandController;

impl ExpandController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<ExpandController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, ExpandController, RetryPolicy::standard(), client, WORKERS)
    }
}

impl Controller for ExpandController {
    type Sync = ();

    fn minds(&self, _: &Caches, kind: Kind) -> bool {
        kind == Kind::PersistentVolumeClaim
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        let Object::PersistentVolumeClaim(claim) = event.object else { return };
        let before = event.old.and_then(PersistentVolumeClaim::of).map(|old| old.spec.request);
        let asks_for_more = before.is_none_or(|before| claim.spec.request > before);
        let is_short = claim.phase == ClaimPhase::Bound && claim.spec.request > claim.capacity;
        if event.change != Change::Deleted && asks_for_more && is_short {
            cx.queue.add(claim.meta.id);
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, (): &mut (), replies: &Replies) -> Next {
        let Some(claim) = cx.caches.claims.get(key).cloned() else { return Next::Done };
        let Some(reply) = replies.first() else {
            let name = claim.spec.volume_name.as_str().into();
            let (kind, namespace) = (Kind::PersistentVolume, Symbol::empty());
            return Next::send(Request::Get { kind, namespace, name });
        };
        let Some(Ok(Object::PersistentVolume(volume))) = reply else { return Next::Retry };
        if volume.claim.as_ref().is_none_or(|claim_ref| claim_ref.uid != Some(claim.meta.uid)) {
            return Next::Retry;
        }
        if claim.spec.request > claim.capacity {
            let about = ObjectRef { kind: Kind::PersistentVolumeClaim, id: key };
            cx.event(
                about,
                Severity::Normal,
                "ExternalExpanding",
                || "waiting for an external controller to expand this PVC",
            );
        }
        Next::Done
    }
}
