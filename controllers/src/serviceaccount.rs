//! The service account controller (upstream `pkg/controller/serviceaccount`): every namespace has an
//! account `default`.

use std::sync::Arc;

use seatrial_api::config::ServiceAccount;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object};
use seatrial_api::request::{Change, ErrorReason, Request};
use seatrial_api::symbol::Symbol;

use crate::Config;
use crate::framework::{Caches, Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner};

/// The account that every namespace has.
const DEFAULT: &str = "default";
/// Workers of the controller.
const WORKERS: usize = 1;

/// Creates missing accounts, by namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceAccountController;

impl ServiceAccountController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<ServiceAccountController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, ServiceAccountController, RetryPolicy::standard(), client, WORKERS)
    }
}

impl Controller for ServiceAccountController {
    /// Whether the account is being created.
    type Sync = bool;

    fn minds(&self, _caches: &Caches, kind: Kind) -> bool {
        matches!(kind, Kind::Namespace | Kind::ServiceAccount)
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Namespace(namespace) if event.change != Change::Deleted => {
                cx.queue.add(namespace.meta.id)
            }
            Object::ServiceAccount(account) if event.change == Change::Deleted => {
                let name = account.meta.namespace;
                if let Some(namespace) = cx.caches.namespaces.named(Symbol::empty(), name.as_str()) {
                    cx.queue.add(namespace.meta.id);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, creating: &mut bool, replies: &Replies) -> Next {
        if *creating {
            return match replies.first() {
                Some(Some(Err(error)))
                    if error.reason != ErrorReason::AlreadyExists && !error.namespace_terminating =>
                {
                    Next::Retry
                }
                _ => Next::Done,
            };
        }
        let Some(namespace) = cx.caches.namespaces.get(key) else { return Next::Done };
        let name = Symbol::new(&namespace.meta.name);
        if namespace.terminating || cx.caches.service_accounts.named(name, DEFAULT).is_some() {
            return Next::Done;
        }
        *creating = true;
        let account = ServiceAccount { meta: ObjectMeta::named(name.as_str(), DEFAULT) };
        Next::send(Request::Create(Object::ServiceAccount(Arc::new(account))))
    }
}
