//! Which objects are shown first where not all can be: the worst.

use std::cmp::Reverse;

use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::{Metric, Results, Series, ServiceRow};

use crate::timeline::{every, time_below};

/// The Services that should have had a backend with their availability in percent, the lowest first.
pub(crate) fn services(results: &Results) -> Vec<(f64, &ServiceRow)> {
    let rated = results.services.iter().filter_map(|row| Some((row.availability_pct?, row)));
    let mut rated: Vec<_> = rated.collect();
    rated.sort_by(|a, b| a.0.total_cmp(&b.0));
    rated
}

/// The Deployments' courses of being available with how long they were not, the longest first.
pub(crate) fn deployments(results: &Results) -> Vec<(Span, &Series)> {
    let end = SimTime::ZERO + results.simulated;
    let rated = every(&results.series, Metric::DeploymentAvailable);
    let mut rated: Vec<_> = rated.map(|series| (time_below(series, 1.0, end), series)).collect();
    rated.sort_by_key(|(down, series)| (Reverse(*down), series.object));
    rated
}
