//! EndpointSlices.

use std::sync::Arc;

use seatrial_api::container::{PortRef, Protocol};
use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object};
use seatrial_api::request::{Change, DeleteOptions, Patch};
use seatrial_api::service::{EndpointSlice, Service, ServicePort, ServiceType, TrafficPolicy};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::world::{NAMESPACE, World};

pub(crate) fn service(name: &str, app: &str) -> Service {
    let port = ServicePort {
        name: Symbol::empty(),
        protocol: Protocol::Tcp,
        port: 80,
        target_port: PortRef::Number(8080),
        node_port: 0,
    };
    Service {
        meta: ObjectMeta::named(NAMESPACE, name),
        kind: ServiceType::ClusterIp,
        selector: Some(Labels::of(&[("app", app)])),
        ports: Box::new([port]),
        cluster_ip: "".into(),
        external_name: "".into(),
        external_ips: Box::default(),
        health_check_node_port: 0,
        session_affinity_seconds: None,
        publish_not_ready_addresses: false,
        internal_traffic_policy: TrafficPolicy::Cluster,
        external_traffic_policy: TrafficPolicy::Cluster,
        traffic_distribution: None,
        ip_family_policy: Default::default(),
        allocate_node_ports: true,
    }
}

fn slices(world: &World, service: &str) -> Vec<Arc<EndpointSlice>> {
    world.all::<EndpointSlice>().into_iter().filter(|slice| slice.service == service).collect()
}

/// (ready, serving, terminating) of every endpoint, by pod.
fn endpoints(world: &World, service: &str) -> Vec<(u32, bool, bool, bool)> {
    let slices = slices(world, service);
    let all = slices.iter().flat_map(|slice| slice.endpoints.iter());
    let mut rows: Vec<_> = all.map(|e| (e.pod, e.ready, e.serving, e.terminating)).collect();
    rows.sort();
    rows
}

fn slice_writes(world: &World) -> Vec<(f64, Change)> {
    let is_slice =
        |row: &&(SimTime, seatrial_api::request::WatchEvent)| row.1.object.kind() == Kind::EndpointSlice;
    world.history.iter().filter(is_slice).map(|row| (row.0.as_secs_f64(), row.1.change)).collect()
}

#[test]
fn endpoints_follow_readiness_termination_and_removal() {
    let mut world = World::new();
    world.node("n1", "z");
    world.create(service("web", "web"));
    world.run_to(1);
    assert_eq!(endpoints(&world, "web"), []);
    assert_eq!(slices(&world, "web").len(), 1, "one empty slice");
    let pod = world.pod("web-1", "n1", &[("app", "web")], &[]);
    world.run_to(2);
    assert_eq!(endpoints(&world, "web"), [(pod, true, true, false)]);
    world.set_ready(pod, false);
    world.run_to(4);
    assert_eq!(endpoints(&world, "web"), [(pod, false, false, false)]);
    world.set_ready(pod, true);
    world.run_to(6);
    world.delete(Kind::Pod, pod, DeleteOptions::default());
    world.run_until(SimTime::from_secs(6) + Span::from_millis(100));
    assert_eq!(endpoints(&world, "web"), [(pod, false, true, true)]);
    world.run_to(10);
    assert_eq!(endpoints(&world, "web"), []);
    assert_eq!(slices(&world, "web").len(), 1);
}

/// Recorded as eps-ready-a: 1.06 s, then 2.07 s.
#[test]
fn the_second_of_two_quick_changes_appears_a_second_late() {
    let mut world = World::new();
    world.node("n1", "z");
    world.create(service("web", "web"));
    world.run_to(1);
    world.pod("web-1", "n1", &[("app", "web")], &[]);
    world.run_until(SimTime::from_secs(1) + Span::from_millis(4));
    world.pod("web-2", "n1", &[("app", "web")], &[]);
    world.run_to(10);
    let writes: Vec<f64> = slice_writes(&world).iter().map(|row| row.0).filter(|at| *at > 1.0).collect();
    assert_eq!(writes.len(), 2);
    assert!(writes[0] < 1.05 && (2.0..2.1).contains(&writes[1]), "{writes:?}");
}

#[test]
fn a_change_of_one_pod_writes_the_slice_of_its_service_alone() {
    let mut world = World::new();
    world.node("n1", "z");
    for index in 0..20 {
        let app = format!("app-{index}");
        world.create(service(&app, &app));
        world.pod(&format!("pod-{index}"), "n1", &[("app", &app)], &[]);
    }
    world.run_to(10);
    let before = slice_writes(&world).len();
    let pod = endpoints(&world, "app-7")[0].0;
    world.set_ready(pod, false);
    world.run_to(20);
    assert_eq!(slice_writes(&world).len(), before + 1);
    assert_eq!(endpoints(&world, "app-7"), [(pod, false, false, false)]);
}

#[test]
fn a_pod_that_changes_its_labels_changes_its_service() {
    let mut world = World::new();
    world.node("n1", "z");
    world.create(service("blue", "blue"));
    world.create(service("green", "green"));
    let pod = world.pod("p", "n1", &[("app", "blue")], &[]);
    world.run_to(2);
    assert_eq!(endpoints(&world, "blue").len(), 1);
    world.patch(Kind::Pod, pod, Patch::Labels(vec![("app".into(), Some("green".into()))]));
    world.run_to(5);
    assert_eq!((endpoints(&world, "blue").len(), endpoints(&world, "green").len()), (0, 1));
}

#[test]
fn slices_that_others_touch_are_put_right_a_second_later() {
    let mut world = World::new();
    world.node("n1", "z");
    world.create(service("web", "web"));
    let pod = world.pod("web-1", "n1", &[("app", "web")], &[]);
    world.run_to(5);
    let slice = slices(&world, "web")[0].meta.id;
    world.delete(Kind::EndpointSlice, slice, DeleteOptions::default());
    world.run_until(SimTime::from_secs(5) + Span::from_millis(900));
    assert_eq!(slices(&world, "web").len(), 0);
    world.run_to(7);
    assert_eq!(endpoints(&world, "web"), [(pod, true, true, false)]);
    let foreign = EndpointSlice {
        meta: ObjectMeta::named(NAMESPACE, "web-by-hand"),
        service: "web".into(),
        endpoints: Arc::new([]),
        ports: Box::new([]),
    };
    world.create(foreign);
    world.run_to(20);
    let manual = slices(&world, "web").iter().filter(|slice| slice.meta.name == "web-by-hand").count();
    assert_eq!((manual, slices(&world, "web").len()), (1, 2), "slices of others are left alone");
}

#[test]
fn a_service_made_after_its_pods_finds_them_all() {
    let mut world = World::new();
    world.node("n1", "z");
    for index in 0..130 {
        world.pod(&format!("pod-{index}"), "n1", &[("app", "web"), ("n", &index.to_string())], &[]);
    }
    world.run_to(1);
    world.create(service("web", "web"));
    world.run_to(3);
    let mut sizes: Vec<_> = slices(&world, "web").iter().map(|slice| slice.endpoints.len()).collect();
    sizes.sort();
    assert_eq!(sizes, [30, 100]);
    let owners: Vec<_> =
        slices(&world, "web").iter().map(|slice| slice.meta.owner_refs()[0].kind.as_str()).collect();
    assert_eq!(owners, ["Service", "Service"]);
    assert!(matches!(&world.history.last().map(|row| &row.1.object), Some(Object::EndpointSlice(_))));
}

#[test]
fn a_pod_on_a_node_that_is_gone_is_left_out_and_told_of() {
    let mut world = World::new();
    let node = world.node("n1", "z");
    world.node("n2", "z");
    world.create(service("web", "web"));
    let lost = world.pod("web-1", "n1", &[("app", "web")], &[]);
    let kept = world.pod("web-2", "n2", &[("app", "web")], &[]);
    world.run_to(3);
    world.delete(Kind::Node, node, DeleteOptions::default());
    world.set_ready(kept, false);
    world.run_to(5);
    assert_eq!(endpoints(&world, "web"), [(kept, false, false, false)], "{lost} is left out");
    let message = &world.events("FailedToUpdateEndpointSlices")[0].1;
    assert_eq!(
        message,
        "Error updating Endpoint Slices for Service play/web: skipping Pod web-1 for Service play/web: Node n1 Not Found"
    );
}
