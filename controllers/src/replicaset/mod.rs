//! The ReplicaSet controller.

use crate::Config;
use crate::framework::{Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner};

/// Keeps the number of pods that each ReplicaSet wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplicaSetController;

impl ReplicaSetController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<ReplicaSetController> {
        Runner::new(id, ReplicaSetController, RetryPolicy::standard(), Client::new(config.client_limits), 5)
    }
}

impl Controller for ReplicaSetController {
    type Sync = ();

    fn observe(&mut self, _cx: &mut Context<'_>, _event: &Event<'_>) {}

    fn step(&mut self, _cx: &mut Context<'_>, _key: u32, _sync: &mut (), _replies: &Replies) -> Next {
        Next::Done
    }
}
