//! LimitRange admission (upstream `plugin/pkg/admission/limitranger`): amounts that pods are given
//! where they name none, and amounts that are too small or too large.

use std::sync::Arc;

use super::ApiServer;
use crate::container::Container;
use crate::object::Kind;
use crate::pod::{Pod, PodSpec};
use crate::quantity::Quantity;
use crate::quota::{Amounts, Limit, LimitRange, LimitType};
use crate::request::{ApiError, aggregate};
use crate::resources::ResourceList;
use crate::storage::PersistentVolumeClaim;
use crate::symbol::Symbol;

/// Fills in what the limit ranges of a namespace say of containers that do not; returns how an
/// annotation says what that was.
pub(super) fn fill_in(ranges: &[Arc<LimitRange>], spec: &mut PodSpec) -> Option<Symbol> {
    let mut said = None;
    for range in ranges {
        let (mut limits, mut requests) = (Amounts::default(), Amounts::default());
        for limit in range.limits.iter().filter(|limit| limit.kind == LimitType::Container) {
            limit.default.iter().for_each(|(name, amount)| limits.set(name, amount));
            limit.default_request.iter().for_each(|(name, amount)| requests.set(name, amount));
        }
        let mut parts = Vec::new();
        for container in &mut spec.containers {
            fill_container(container, "container", &limits, &requests, &mut parts);
        }
        for container in &mut spec.init_containers {
            fill_container(container, "init container", &limits, &requests, &mut parts);
        }
        if !parts.is_empty() {
            said = Some(Symbol::new(&format!("LimitRanger plugin set: {}", parts.join("; "))));
        }
    }
    said
}

fn fill_container(
    container: &mut Container,
    what: &str,
    limits: &Amounts,
    requests: &Amounts,
    parts: &mut Vec<String>,
) {
    for (defaults, list, sort) in
        [(requests, &mut container.requests, "request"), (limits, &mut container.limits, "limit")]
    {
        let present = Amounts::of_list(list);
        let missing = defaults.filtered(|name, _| present.get(name).is_none());
        if !missing.is_empty() {
            let names: Vec<&str> = missing.names().map(Symbol::as_str).collect();
            parts.push(format!("{} {sort} for {what} {}", names.join(", "), container.name));
            *list = list.or(&missing.to_resource_list());
        }
    }
}

impl ApiServer {
    /// Refuses a pod whose amounts are out of the limits of its namespace.
    pub(super) fn check_pod_limits(&self, pod: &Pod) -> Result<(), ApiError> {
        let ranges = self.policies::<LimitRange>(pod.meta.namespace);
        if ranges.is_empty() {
            return Ok(());
        }
        check_requests(pod)?;
        for range in &ranges {
            let mut errors = Vec::new();
            for limit in &range.limits {
                match limit.kind {
                    LimitType::Container => {
                        for container in pod.spec.containers.iter().chain(&pod.spec.init_containers) {
                            let amounts = Measured::of_container(&container.requests, &container.limits);
                            amounts.check(limit, "Container", &mut errors);
                        }
                    }
                    LimitType::Pod => {
                        let (requests, limits) = crate::requests::without_overhead(&pod.spec);
                        let amounts = Measured {
                            requests: Amounts::of_resources(&requests),
                            limits: Amounts::of_resources(&limits),
                        };
                        amounts.check(limit, "Pod", &mut errors);
                    }
                    LimitType::PersistentVolumeClaim | LimitType::Other(_) => {}
                }
            }
            refuse(Kind::Pod, &pod.meta.name, &errors)?;
        }
        Ok(())
    }

    /// Refuses a claim whose storage is out of the limits of its namespace.
    pub(super) fn check_claim_limits(&self, claim: &PersistentVolumeClaim) -> Result<(), ApiError> {
        let storage = Symbol::new("storage");
        let request = crate::quota::Amounts::of_storage(claim.spec.request);
        for range in self.policies::<LimitRange>(claim.meta.namespace) {
            let mut errors = Vec::new();
            for limit in range.limits.iter().filter(|limit| limit.kind == LimitType::PersistentVolumeClaim) {
                let mut judge = |bound: Option<Quantity>,
                                 word: &str,
                                 broken: fn(Quantity, Quantity) -> bool| {
                    if let Some(bound) = bound.filter(|bound| broken(request, *bound)) {
                        errors.push(format!(
                            "{word} storage usage per PersistentVolumeClaim is {bound}, but request is {request}"
                        ));
                    }
                };
                judge(limit.min.get(storage), "minimum", |request, bound| request < bound);
                judge(limit.max.get(storage), "maximum", |request, bound| request > bound);
            }
            refuse(Kind::PersistentVolumeClaim, &claim.meta.name, &errors)?;
        }
        Ok(())
    }
}

fn refuse(kind: Kind, name: &str, errors: &[String]) -> Result<(), ApiError> {
    if errors.is_empty() { Ok(()) } else { Err(ApiError::forbidden(kind, name, aggregate(errors))) }
}

/// After defaults were filled in, a request may exceed its limit.
fn check_requests(pod: &Pod) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    let spec = &pod.spec;
    for (field, containers) in [("containers", &spec.containers), ("initContainers", &spec.init_containers)] {
        for (index, container) in containers.iter().enumerate() {
            let limits = Amounts::of_list(&container.limits);
            for (name, request) in Amounts::of_list(&container.requests).iter() {
                if let Some(limit) = limits.get(name).filter(|limit| request > *limit) {
                    errors.push(format!(
                        "spec.{field}[{index}].resources.requests: Invalid value: \"{request}\": must be less \
                         than or equal to {name} limit of {limit}"
                    ));
                }
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(Kind::Pod, &pod.meta.name, &errors)) }
}

/// What a container or a pod asks for.
struct Measured {
    requests: Amounts,
    limits: Amounts,
}

impl Measured {
    fn of_container(requests: &ResourceList, limits: &ResourceList) -> Measured {
        Measured { requests: Amounts::of_list(requests), limits: Amounts::of_list(limits) }
    }

    fn check(&self, limit: &Limit, what: &str, errors: &mut Vec<String>) {
        for (name, min) in limit.min.iter() {
            errors.extend(self.check_min(name, min, what));
        }
        for (name, max) in limit.max.iter() {
            errors.extend(self.check_max(name, max, what));
        }
        for (name, ratio) in limit.max_limit_request_ratio.iter() {
            errors.extend(self.check_ratio(name, ratio, what));
        }
    }

    fn check_min(&self, name: Symbol, min: Quantity, what: &str) -> Option<String> {
        let rule = format!("minimum {name} usage per {what} is {min}");
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        match (request, limit) {
            (None, _) => Some(format!("{rule}.  No request is specified")),
            (Some(request), _) if request < min => Some(format!("{rule}, but request is {request}")),
            (_, Some(limit)) if limit < min => Some(format!("{rule}, but limit is {limit}")),
            _ => None,
        }
    }

    fn check_max(&self, name: Symbol, max: Quantity, what: &str) -> Option<String> {
        let rule = format!("maximum {name} usage per {what} is {max}");
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        match (request, limit) {
            (_, None) => Some(format!("{rule}.  No limit is specified")),
            (_, Some(limit)) if limit > max => Some(format!("{rule}, but limit is {limit}")),
            (Some(request), _) if request > max => Some(format!("{rule}, but request is {request}")),
            _ => None,
        }
    }

    fn check_ratio(&self, name: Symbol, max: Quantity, what: &str) -> Option<String> {
        let rule = format!("{name} max limit to request ratio per {what} is {max}");
        let set = |amounts: &Amounts| amounts.get(name).filter(|amount| !amount.is_zero());
        let Some(request) = set(&self.requests) else {
            return Some(format!("{rule}, but no request is specified or request is 0"));
        };
        let Some(limit) = set(&self.limits) else {
            return Some(format!("{rule}, but no limit is specified or limit is 0"));
        };
        let ratio = limit.nanos() as f64 / request.nanos() as f64;
        let too_large = ratio > max.nanos() as f64 / 1e9;
        too_large.then(|| format!("{rule}, but provided ratio is {ratio:.6}"))
    }
}
