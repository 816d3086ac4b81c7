//! Requests to the API server.

use std::sync::Arc;

use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::request::{Change, Reply, Request, WatchEvent};

use super::{Event, Play, WATCH};

impl Play<'_> {
    /// Has the API server answer a request, writes down what it changes and has the kubelet told.
    pub(super) fn serve(&mut self, request: Request) -> Reply {
        let mut events = Vec::new();
        let reply = self.server.handle(self.now, request, &mut events);
        for event in events {
            self.changed(event);
        }
        reply
    }

    fn changed(&mut self, event: WatchEvent) {
        if let Object::Pod(pod) = &event.object {
            self.remember(event.change, pod);
            let bound_before = self.told.get(&pod.meta.id).is_some_and(|told| told.contains_key("node"));
            self.write_change(event.change, pod);
            if pod.node.is_none() {
                return;
            }
            let change = match event.change {
                Change::Modified if !bound_before => Change::Added,
                change => change,
            };
            self.calendar.push(self.now + WATCH, Event::Watch(WatchEvent { change, ..event }));
        } else {
            self.calendar.push(self.now + WATCH, Event::Watch(event));
        }
    }

    /// Remembers what is asked for again after a pod has gone.
    fn remember(&mut self, change: Change, pod: &Arc<Pod>) {
        let id = pod.meta.id;
        if change == Change::Added {
            self.manifests.insert(id, self.creating.clone());
            self.names.insert(id, pod.meta.name.to_string());
            self.uids.push(pod.meta.uid.to_string());
        }
        self.specs.insert(id, Arc::clone(&pod.spec));
    }
}
