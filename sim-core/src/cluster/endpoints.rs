//! The endpoints of Services in a cluster that is taken over while it runs: its forwarding rules are
//! in place from the first instant on, whether the dump holds its EndpointSlices or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::meta::Uid;
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, Typed};
use seatrial_api::pod::Pod;
use seatrial_api::request::{Change, Request, WatchEvent};
use seatrial_api::service::{
    Endpoint, EndpointAddress, EndpointSlice, EndpointSubset, Endpoints, Service, ServiceType,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_controllers::endpointslice::plan_endpoint_slices;

use super::world::World;

impl World {
    /// The rows of the pods by their identities.
    fn pod_rows(&self) -> BTreeMap<Uid, u32> {
        self.api.list_typed::<Pod>().map(|pod| (pod.meta.uid, pod.meta.id)).collect()
    }

    /// An Endpoints object of a dump, with the rows of the pods that it names by their identities.
    pub(super) fn addresses_with_rows(&self, endpoints: &Endpoints) -> Object {
        let pods = self.pod_rows();
        let with_row = |address: &EndpointAddress| {
            let pod = pods.get(&address.pod_uid).copied().unwrap_or(address.pod);
            EndpointAddress { pod, ..address.clone() }
        };
        let subsets = endpoints.subsets.iter().map(|subset| EndpointSubset {
            ready: subset.ready.iter().map(with_row).collect(),
            not_ready: subset.not_ready.iter().map(with_row).collect(),
            ports: subset.ports.clone(),
        });
        Object::Endpoints(Arc::new(Endpoints { subsets: subsets.collect(), meta: endpoints.meta.clone() }))
    }

    /// A slice of a dump, with the rows of the pods that it names by their identities.
    pub(super) fn with_rows(&self, slice: &EndpointSlice) -> Object {
        let pods = self.pod_rows();
        let row = |endpoint: &Endpoint| pods.get(&endpoint.pod_uid).copied().unwrap_or(endpoint.pod);
        let endpoints = slice.endpoints.iter();
        let endpoints = endpoints.map(|endpoint| Endpoint { pod: row(endpoint), ..endpoint.clone() });
        Object::EndpointSlice(Arc::new(EndpointSlice { endpoints: endpoints.collect(), ..slice.clone() }))
    }

    /// Slices that the dump leaves out are those that their controller had made; all of them have
    /// long reached the nodes.
    pub(super) fn take_over_endpoints(&mut self) {
        let services: Vec<Arc<Service>> = self.api.list_typed::<Service>().cloned().collect();
        for service in services.iter().filter(|service| service.kind != ServiceType::ExternalName) {
            let is_its_own = |slice: &&Arc<EndpointSlice>| {
                slice.meta.namespace == service.meta.namespace && slice.service == *service.meta.name
            };
            if self.api.list_typed::<EndpointSlice>().find(is_its_own).is_none() {
                self.make_slices(service);
            }
        }
        let slices: Vec<Arc<EndpointSlice>> = self.api.list_typed::<EndpointSlice>().cloned().collect();
        for slice in slices {
            let event = WatchEvent { change: Change::Added, object: Object::EndpointSlice(slice) };
            self.proxies_synced(SimTime::ZERO, &event);
        }
    }

    fn make_slices(&mut self, service: &Service) {
        let Some(selector) = service.selector.as_ref().filter(|selector| !selector.is_empty()) else {
            return;
        };
        let selected = self.api.list_typed::<Pod>().filter(|pod| {
            pod.meta.namespace == service.meta.namespace && pod.meta.labels.contains_all(selector)
        });
        let node_of = |pod: &Pod| {
            let object = self.api.find(Kind::Node, Symbol::empty(), pod.node?.as_str())?;
            Node::of(object).map(|node| &**node)
        };
        let backends: Vec<_> = selected.map(|pod| (&**pod, node_of(pod))).collect();
        let plan = plan_endpoint_slices(service, &backends, &[]);
        for slice in plan.create {
            let mut events = Vec::new();
            let create = Request::Create(Object::EndpointSlice(Arc::new(slice)));
            // A namespace that is going away refuses: its Services have no slices to be made.
            if self.api.handle(SimTime::ZERO, create, &mut events).is_ok() {
                self.show_all(&events);
            }
        }
    }
}
