//! Endpoints objects, as they were before there were EndpointSlices.

use seatrial_api::container::{PortRef, Protocol};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Kind;
use seatrial_api::pod::{Pod, PodPhase};
use seatrial_api::request::{DeleteOptions, Request, Subresource};
use seatrial_api::service::{Endpoints, Service, ServicePort};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_controllers::endpoints::{ADDRESSES_MAX, plan_endpoints};
use std::sync::Arc;

use crate::endpoints::service;
use crate::world::{NAMESPACE, World};

/// Rows of the pods that are ready and of those that are not, subset by subset.
fn addresses(world: &World, name: &str) -> Vec<(Vec<u32>, Vec<u32>)> {
    let all = world.all::<Endpoints>();
    let found = all.iter().find(|endpoints| endpoints.meta.name == name).expect("it is there");
    let rows =
        |side: &[seatrial_api::service::EndpointAddress]| side.iter().map(|address| address.pod).collect();
    found.subsets.iter().map(|subset| (rows(&subset.ready), rows(&subset.not_ready))).collect()
}

#[test]
fn addresses_follow_readiness_and_terminating_pods_are_left_out() {
    let mut world = World::new();
    world.node("n1", "z");
    let row = world.create(service("web", "web"));
    world.run_to(1);
    assert_eq!(addresses(&world, "web"), []);
    let (first, second) =
        (world.pod("web-1", "n1", &[("app", "web")], &[]), world.pod("web-2", "n1", &[("app", "web")], &[]));
    world.run_to(2);
    assert_eq!(addresses(&world, "web"), [(vec![first, second], vec![])]);
    world.set_ready(first, false);
    world.run_to(3);
    assert_eq!(addresses(&world, "web"), [(vec![second], vec![first])]);
    world.delete(Kind::Pod, second, DeleteOptions::default());
    world.run_until(SimTime::from_secs(3) + seatrial_api::units::Span::from_millis(100));
    assert_eq!(addresses(&world, "web"), [(vec![], vec![first])]);
    let endpoints = world.all::<Endpoints>()[0].clone();
    let managed_by = endpoints.meta.labels.get(Symbol::new("endpoints.kubernetes.io/managed-by"));
    assert_eq!(managed_by, Some(Symbol::new("endpoint-controller")));
    // One that somebody deletes is made again; it goes with its Service.
    world.delete(Kind::Endpoints, endpoints.meta.id, DeleteOptions::default());
    world.run_to(5);
    assert_eq!(addresses(&world, "web"), [(vec![], vec![first])]);
    world.delete(Kind::Service, row, DeleteOptions::default());
    world.run_to(6);
    assert!(world.all::<Endpoints>().is_empty());
}

#[test]
fn a_service_without_selector_leaves_its_endpoints_to_others() {
    let mut world = World::new();
    world.create(Service { selector: None, ..service("db", "db") });
    let own = Endpoints { meta: ObjectMeta::named(NAMESPACE, "db"), ..Endpoints::default() };
    let row = world.create(own);
    world.run_to(2);
    let version = world.get::<Endpoints>(row).meta.resource_version;
    let mut service = Service::clone(&world.all::<Service>()[0]);
    service.publish_not_ready_addresses = true;
    let object = seatrial_api::object::Object::Service(Arc::new(service));
    world.request(Request::Update { object, subresource: Subresource::Main }).expect("it is accepted");
    world.run_to(4);
    assert_eq!(world.get::<Endpoints>(row).meta.resource_version, version);
}

/// Pods of the test's namespace, with addresses and nothing else.
fn pods(world: &mut World, count: usize) -> Vec<Pod> {
    world.node("n1", "z");
    let rows: Vec<u32> =
        (0..count).map(|index| world.pod(&format!("p-{index}"), "n1", &[("app", "web")], &[])).collect();
    rows.into_iter().map(|row| Pod::clone(world.get::<Pod>(row))).collect()
}

#[test]
fn ports_readiness_and_capacity_decide_what_is_listed() {
    let mut world = World::new();
    let template = pods(&mut world, 1).remove(0);
    let plan = |service: &Service, pods: &[Pod]| {
        let wanted = plan_endpoints(service, pods.iter());
        let counts = wanted.subsets.iter().map(|subset| (subset.ready.len(), subset.not_ready.len()));
        (counts.collect::<Vec<_>>(), wanted.truncated)
    };
    let web = service("web", "web");
    assert_eq!(plan(&web, std::slice::from_ref(&template)), (vec![(1, 0)], false));
    let mut ended = template.clone();
    ended.status.phase = PodPhase::Succeeded;
    assert_eq!(plan(&web, &[ended]), (vec![], false));
    let mut without_address = template.clone();
    without_address.status.ip = 0;
    assert_eq!(plan(&web, &[without_address]), (vec![], false));
    // A named port that no container has leaves the pod out, unless nobody asks for ports.
    let named = ServicePort {
        name: Symbol::empty(),
        protocol: Protocol::Tcp,
        port: 80,
        target_port: PortRef::Name("http".into()),
        node_port: 0,
    };
    let by_name = Service { ports: Box::new([named]), ..web.clone() };
    assert_eq!(plan(&by_name, std::slice::from_ref(&template)), (vec![], false));
    let headless = Service { ports: Box::default(), cluster_ip: "None".into(), ..web.clone() };
    assert_eq!(plan(&headless, std::slice::from_ref(&template)), (vec![(1, 0)], false));
    // What does not fit is cut, what is not ready first.
    let many: Vec<Pod> = (0..ADDRESSES_MAX as u32 + 10)
        .map(|index| {
            let mut pod = template.clone();
            pod.status.ip += index;
            if index % 2 == 0 {
                pod.status.conditions = Default::default();
            }
            pod
        })
        .collect();
    assert_eq!(plan(&web, &many), (vec![(505, 495)], true));
}
