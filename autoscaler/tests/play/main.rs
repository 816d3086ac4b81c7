//! Autoscalers in a small world: what they do, and what they never do.

mod cluster_autoscaler;
mod karpenter;
mod world;
