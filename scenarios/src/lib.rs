//! What to play: the scenario file, its checks, and the library of ready scenarios.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

mod file;
mod schema;

pub use file::schema;
#[cfg(test)]
mod t {
    #[test]
    fn s() {
        std::fs::write("/tmp/schema.json", crate::schema()).unwrap();
        let mut f = Default::default();
        let text = r#"
apiVersion: seatrial/v1
kind: Scenario
metadata: {name: zone-loss}
for: 10
nodes:
  - {name: worker, cuont: 6, capacity: {cpu: 4, memry: 16Gi, pods: 110}, zones: [a, b, c], pricePerHour: 0.192}
  - {name: worker, count: -6, capacity: {cpu: 4x, memory: 16Gi, pods: 110}, machineType: 5}
podProfiles:
  - selector: {matchLabels: {app: cart}}
    startup: {distribution: lognormall, median: 2s, p99: 8s}
  - selector: {matchLabels: {app: 5}}
    startup: {distribution: lognormal, median: 9s, p99: 8s, p98: 1s}
timeline:
  - {at: 5m, scal: {deployment: shop/cart, replicas: 5}}
faults:
  - {name: loss, at: 10m, type: crashh, target: {zone: a, rack: b}, duration: 10m}
expect:
  - {name: nothing-waits, pod: Pending, longerThan: 30s, atMost: 0, after: 25m}
  - {name: heals, deployments: Availble, within: 8m, after: loss}
  - {name: up, service: shop/cart, availabilityPct: {min: 99.5, mx: 4}}
"#;
        crate::file::read_scenario("f.yaml", text.as_bytes(), &mut f);
        println!("{f}");
    }
}
