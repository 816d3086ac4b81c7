//! Workload controllers, played against the API server's store with kubelets that take their time.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "the modules of a test crate are its own; the cluster serves several"
)]

mod cluster;
mod cronjobs;
mod daemonsets;
mod deployments;
mod jobs;
mod quotas;
mod replicasets;
mod statefulsets;
