//! The scheduler as a machine: scripted by hand, and its two paths against each other.

mod disciplines;
mod extenders;
mod fast_path;
mod gangs;
mod gpu_sharing;
mod policies;
mod rig;
mod scripted;
mod storage;
