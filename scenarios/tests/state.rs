//! Runs that begin with the state of a running cluster.

mod common;

use common::Folder;
use seatrial_api::object::Object;
use seatrial_api::service::{Endpoint, EndpointSlice};
use seatrial_api::units::{SimTime, Span};
use seatrial_scenarios::{Request, load};
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::config::ClusterConfig;

fn rehearsal() -> ClusterConfig {
    let request = Request { scenario: Some("library/state-rehearsal.yaml".into()), ..Request::default() };
    load(&Folder::of_crate(), &request).unwrap_or_else(|findings| panic!("{findings}")).config
}

fn slices(simulation: &Simulation) -> Vec<EndpointSlice> {
    simulation.api().list_typed::<EndpointSlice>().map(|slice| EndpointSlice::clone(slice)).collect()
}

/// Plays the first minute; the Service must be up from the first instant on.
fn first_minute(config: ClusterConfig, what: &str) -> Simulation {
    let mut simulation: Simulation = Simulation::new(config).expect("a scenario that loads can be played");
    let begin = slices(&simulation);
    let minute = SimTime::ZERO + Span::from_mins(1);
    simulation.run_until(minute);
    let results = simulation.results(minute);
    let [service] = &results.services[..] else { panic!("{what}: one Service") };
    assert_eq!((service.down, service.availability_pct), (Span::ZERO, Some(100.0)), "{what}");
    assert_eq!(service.wanted, Span::from_mins(1), "{what}");
    assert_eq!(slices(&simulation), begin, "{what}: their controller has nothing to change");
    simulation
}

#[test]
fn a_service_is_up_from_the_first_instant_with_and_without_slices_in_the_dump() {
    let simulation = first_minute(rehearsal(), "without slices");
    let mut known = slices(&simulation);
    assert_eq!(known.len(), 1);
    // As a dump has it: pods are known by their identities, and slices come before Services.
    let as_read = |endpoint: &Endpoint| Endpoint { pod: u32::MAX, ..endpoint.clone() };
    known[0].endpoints = known[0].endpoints.iter().map(as_read).collect();
    let mut config = rehearsal();
    config.state.insert(0, Object::EndpointSlice(known.remove(0).into()));
    first_minute(config, "with slices");
}
