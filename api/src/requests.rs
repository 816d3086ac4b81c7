//! What a pod requests (upstream `component-helpers/resource/helpers.go`).

use crate::container::Container;
use crate::pod::{DerivedSpec, HostPort, PodSpec, QosClass};
use crate::resources::{ResourceList, Resources};
use crate::symbol::Symbol;
use crate::units::{Bytes, MilliCpu};

/// CPU that scoring assumes for a container that requests none.
pub const DEFAULT_CPU: MilliCpu = MilliCpu(100);
/// Memory that scoring assumes for a container that requests none.
pub const DEFAULT_MEMORY: Bytes = Bytes(200 * 1024 * 1024);

/// Computes what follows from a specification.
pub(crate) fn derive(spec: &PodSpec) -> DerivedSpec {
    let mut requests = aggregate(spec, |container| container.requests.amounts());
    if let Some(pod_level) = &spec.pod_requests {
        replace(&mut requests, pod_level);
    }
    requests.add(&spec.overhead);

    let mut non_zero = aggregate(spec, non_zero_amounts);
    non_zero.add(&spec.overhead);
    DerivedSpec {
        requests,
        non_zero_cpu: non_zero.cpu,
        non_zero_memory: non_zero.memory,
        qos: qos_class(spec),
        host_ports: host_ports(spec),
    }
}

/// The limits of all containers together, counted as requests are; the overhead is added where there
/// is a limit.
pub(crate) fn limits(spec: &PodSpec) -> Resources {
    let mut limits = aggregate(spec, |container| container.limits.amounts());
    if let Some(pod_level) = &spec.pod_limits {
        replace(&mut limits, pod_level);
    }
    let overhead = &spec.overhead;
    for (limit, extra) in
        [(&mut limits.memory, overhead.memory), (&mut limits.ephemeral_storage, overhead.ephemeral_storage)]
    {
        if *limit != Bytes::ZERO {
            *limit += extra;
        }
    }
    if limits.cpu != MilliCpu::ZERO {
        limits.cpu += overhead.cpu;
    }
    limits
}

/// Requests and limits of a pod without its overhead, as a LimitRange for pods measures them.
pub(crate) fn without_overhead(spec: &PodSpec) -> (Resources, Resources) {
    let mut requests = aggregate(spec, |container| container.requests.amounts());
    let mut limits = aggregate(spec, |container| container.limits.amounts());
    for (sum, pod_level) in [(&mut requests, &spec.pod_requests), (&mut limits, &spec.pod_limits)] {
        if let Some(pod_level) = pod_level {
            replace(sum, pod_level);
        }
    }
    (requests, limits)
}

/// `max(containers + sidecars, max over init containers of its own plus earlier sidecars)`.
fn aggregate(spec: &PodSpec, amounts: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&amounts(container));
    }
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for container in &spec.init_containers {
        let own = amounts(container);
        if container.is_sidecar() {
            sidecars.add(&own);
            peak = peak.max(&sidecars);
        } else {
            let mut during = sidecars.clone();
            during.add(&own);
            peak = peak.max(&during);
        }
    }
    running.add(&sidecars);
    running.max(&peak)
}

/// A container's requests with the assumed ones where CPU or memory is absent; a zero stays.
fn non_zero_amounts(container: &Container) -> Resources {
    let mut amounts = container.requests.amounts();
    amounts.cpu = container.requests.cpu.unwrap_or(DEFAULT_CPU);
    amounts.memory = container.requests.memory.unwrap_or(DEFAULT_MEMORY);
    amounts
}

/// Pod-level requests replace the aggregate for CPU, memory and huge pages, where they are given.
fn replace(requests: &mut Resources, pod_level: &ResourceList) {
    requests.cpu = pod_level.cpu.unwrap_or(requests.cpu);
    requests.memory = pod_level.memory.unwrap_or(requests.memory);
    let is_huge_page = |name: Symbol| name.as_str().starts_with("hugepages-");
    let given = pod_level.scalars.iter().filter(|amount| is_huge_page(amount.0));
    let kept = requests
        .scalars
        .iter()
        .filter(|amount| !(is_huge_page(amount.0) && pod_level.scalars.find(amount.0).is_some()));
    requests.scalars = crate::resources::Scalars::new(kept.chain(given).collect());
}

/// Guaranteed, Burstable or BestEffort: only CPU and memory count, 0 is unset.
fn qos_class(spec: &PodSpec) -> QosClass {
    let (mut any, mut all_equal) = (false, true);
    let mut judge = |requests: &ResourceList, limits: &ResourceList| {
        let pairs = [
            (requests.cpu.map_or(0, |amount| amount.0), limits.cpu.map_or(0, |amount| amount.0)),
            (requests.memory.map_or(0, |amount| amount.0), limits.memory.map_or(0, |amount| amount.0)),
        ];
        for (request, limit) in pairs {
            any |= request != 0 || limit != 0;
            all_equal &= limit != 0 && request == limit;
        }
    };
    if spec.pod_requests.is_some() || spec.pod_limits.is_some() {
        let none = ResourceList::default();
        judge(spec.pod_requests.as_ref().unwrap_or(&none), spec.pod_limits.as_ref().unwrap_or(&none));
    } else {
        for container in spec.all_containers() {
            judge(&container.requests, &container.limits);
        }
    }
    match (any, all_equal) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

/// The node ports of containers and sidecars.
fn host_ports(spec: &PodSpec) -> Box<[HostPort]> {
    let all_addresses = Symbol::new("0.0.0.0");
    let sidecars = spec.init_containers.iter().filter(|container| container.is_sidecar());
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports
        .filter_map(|port| {
            let number = match port.host_port {
                0 if spec.host_network => port.container_port,
                number => number,
            };
            (number != 0).then(|| HostPort {
                ip: if port.host_ip.is_empty() { all_addresses } else { port.host_ip },
                protocol: port.protocol,
                port: number,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::RestartPolicy;

    fn container(cpu: Option<i64>, memory: Option<i64>) -> Container {
        let mut container = Container::new("c", "app:1");
        container.requests.cpu = cpu.map(MilliCpu);
        container.requests.memory = memory.map(Bytes);
        container
    }

    fn sidecar(cpu: i64) -> Container {
        Container { restart_policy: Some(RestartPolicy::Always), ..container(Some(cpu), Some(0)) }
    }

    #[test]
    fn init_containers_count_at_their_peak_and_sidecars_all_along() {
        let mut spec = PodSpec::new(vec![container(Some(100), Some(0)), container(Some(200), Some(0))]);
        for (init, expected) in [
            (vec![], 300),
            (vec![container(Some(250), None)], 300),
            (vec![container(Some(900), None)], 900),
            (vec![sidecar(50)], 350),
            (vec![sidecar(50), container(Some(900), None)], 950),
            (vec![container(Some(900), None), sidecar(50)], 900),
        ] {
            spec.init_containers = init.into();
            assert_eq!(derive(&spec).requests.cpu, MilliCpu(expected));
        }
    }

    #[test]
    fn scoring_assumes_requests_only_where_none_is_written() {
        let spec = PodSpec::new(vec![container(None, Some(7)), container(Some(0), None)]);
        let derived = derive(&spec);
        assert_eq!(derived.requests, Resources::of(MilliCpu(0), Bytes(7)));
        assert_eq!(
            (derived.non_zero_cpu, derived.non_zero_memory),
            (MilliCpu(100), Bytes(7) + DEFAULT_MEMORY)
        );
    }

    #[test]
    fn pod_level_requests_replace_and_overhead_is_added() {
        let mut spec = PodSpec::new(vec![container(Some(100), Some(10))]);
        spec.pod_requests = Some(ResourceList { cpu: Some(MilliCpu(500)), ..ResourceList::default() });
        spec.overhead = Resources::of(MilliCpu(5), Bytes(1));
        assert_eq!(derive(&spec).requests, Resources::of(MilliCpu(505), Bytes(11)));
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let with_limits = |cpu: i64, memory: i64| {
            let mut result = container(Some(100), Some(10));
            result.limits = ResourceList {
                cpu: Some(MilliCpu(cpu)),
                memory: Some(Bytes(memory)),
                ..ResourceList::default()
            };
            result
        };
        for (containers, class) in [
            (vec![container(None, None)], QosClass::BestEffort),
            (vec![container(Some(0), None)], QosClass::BestEffort),
            (vec![container(Some(1), None)], QosClass::Burstable),
            (vec![with_limits(100, 10)], QosClass::Guaranteed),
            (vec![with_limits(200, 10)], QosClass::Burstable),
            (vec![with_limits(100, 10), container(None, None)], QosClass::Burstable),
        ] {
            assert_eq!(derive(&PodSpec::new(containers)).qos, class);
        }
    }
}
