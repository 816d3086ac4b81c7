//! What is made of node groups, node pools and clouds that are in order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use seatrial_api::cloud::CapacityType;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{MilliCpu, Ratio, SimTime, Span};
use seatrial_autoscaler::cluster_autoscaler::Expander;
use seatrial_autoscaler::karpenter::{ConsolidationPolicy, DisruptionBudget};
use seatrial_scenarios::{Request, load};
use seatrial_sim_core::cluster::config::{AutoscalerConfig, ClusterConfig, FaultTiming, FaultType};

#[track_caller]
fn scenario(body: &str) -> ClusterConfig {
    let text = format!("apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {{name: it}}\nseed: 7\n{body}");
    let files = BTreeMap::from([(PathBuf::from("s.yaml"), text.into_bytes())]);
    let request = Request { scenario: Some("s.yaml".into()), ..Request::default() };
    load(&files, &request).unwrap_or_else(|findings| panic!("{findings}")).config
}

#[test]
fn a_pool_with_bounds_is_a_node_group() {
    let config = scenario(
        "nodes:
  - {name: base, count: 1, machineType: m6i.large}
  - {name: web, count: 2, machineType: m6i.xlarge, zones: [a, b], capacityType: spot, pricePerHour: 0.05, autoscale: {min: 1, max: 9, priority: 3}}
autoscaler: {type: cluster-autoscaler, expander: [priority, price], scaleDown: {unneededTime: 5m, utilizationThreshold: 40%}}
",
    );
    let Some(AutoscalerConfig::ClusterAutoscaler { options, groups }) = &config.autoscaler else {
        panic!("there is a Cluster Autoscaler")
    };
    assert_eq!((options.seed, &options.expanders[..]), (7, &[Expander::Priority, Expander::Price][..]));
    assert_eq!(options.scale_down.unneeded_time, Span::from_mins(5));
    assert_eq!(options.scale_down.utilization_threshold.as_f64(), 0.4);
    let [group] = &groups[..] else { panic!("there is one group") };
    assert_eq!((group.min, group.max, group.priority), (1, 9, 3));
    assert_eq!(group.instances, [Symbol::new("web-0"), Symbol::new("web-1")]);
    let zones: Vec<&str> = group.offers.iter().map(|offer| offer.zone.as_str()).collect();
    assert_eq!(zones, ["a", "b"]);
    let offer = group.offer();
    assert_eq!((offer.instance_type.as_str(), offer.micro_usd_per_hour), ("m6i.xlarge", 50_000));
    assert_eq!(offer.capacity_type, CapacityType::Spot);
    let label = |key: &str| offer.template.meta.labels.get(Symbol::new(key));
    assert_eq!(label("karpenter.sh/capacity-type"), Some(Symbol::new("spot")));
    assert_eq!(label("kubernetes.io/hostname"), None);
}

#[test]
fn bounds_alone_ask_for_the_cluster_autoscaler() {
    let config =
        scenario("nodes: [{name: web, count: 1, machineType: m6i.large, autoscale: {min: 1, max: 9}}]\n");
    assert!(matches!(config.autoscaler, Some(AutoscalerConfig::ClusterAutoscaler { .. })));
    assert!(scenario("nodes: [{name: web, count: 1, machineType: m6i.large}]\n").autoscaler.is_none());
}

#[test]
fn a_node_pool_offers_each_type_in_each_zone_in_each_way_to_pay() {
    let config = scenario(
        "autoscaler:
  type: karpenter
  nodePools:
    - name: general
      machineTypes: [m6i.large]
      instanceTypes: [{name: odd, capacity: {cpu: 3, memory: 8Gi}, pricePerHour: 0.1}]
      zones: [a, b]
      capacityTypes: [spot, on-demand]
      spotPrice: 50%
      limits: {cpu: 20}
      disruption: {consolidationPolicy: WhenEmpty, consolidateAfter: Never, budgets: [{nodes: 20%}, {nodes: 3}]}
      expireAfter: Never
",
    );
    let Some(AutoscalerConfig::Karpenter(options)) = &config.autoscaler else { panic!("there is one") };
    let [pool] = &options.pools[..] else { panic!("there is one pool") };
    assert_eq!(pool.offers.len(), 8);
    let odd = pool.offers.iter().filter(|offer| offer.instance_type == "odd");
    let prices: Vec<u64> = odd.map(|offer| offer.micro_usd_per_hour).collect();
    assert_eq!(prices, [50_000, 50_000, 100_000, 100_000]);
    assert_eq!(
        (pool.cpu_max, pool.consolidate_after, pool.expire_after),
        (Some(MilliCpu(20_000)), None, None)
    );
    assert_eq!(pool.consolidation, ConsolidationPolicy::WhenEmpty);
    assert_eq!(pool.budgets, [DisruptionBudget::Percent(20), DisruptionBudget::Nodes(3)]);
}

#[test]
fn clouds_have_limits_and_take_machines_back() {
    let config = scenario(
        "nodes: [{name: web, count: 1, machineType: m6i.large, zones: [a], autoscale: {min: 1, max: 9}}]
cloud: {stockOuts: [{nodes: web, zone: a, at: 5m, duration: 10m, share: 25%}], quota: {machines: 4, cpu: 16}}
faults:
  - {name: one, type: spotReclaim, target: {nodes: web}, mtbf: 5h}
  - {name: two, type: spotReclaim, target: {zone: a}, at: 5m, notice: 30s}
",
    );
    let [stock_out] = &config.cloud.stock_outs[..] else { panic!("there is one") };
    assert_eq!(stock_out.pool, Some(Symbol::new("web")));
    assert_eq!(stock_out.until, Some(SimTime::ZERO + Span::from_mins(15)));
    assert_eq!(stock_out.probability.as_f64(), Ratio::new(1, 4).as_f64());
    assert_eq!((config.cloud.machines_max, config.cloud.cpu_max), (Some(4), Some(MilliCpu(16_000))));
    assert_eq!(config.faults[0].kind, FaultType::SpotReclaim { notice: Span::from_mins(2) });
    assert!(matches!(config.faults[0].timing, FaultTiming::Random { .. }));
    assert_eq!(config.faults[1].kind, FaultType::SpotReclaim { notice: Span::from_secs(30) });
}
