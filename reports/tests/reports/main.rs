//! The reports as a user and a program see them.

mod answer;
mod compare;
mod explain;
mod folder;
mod made_up;
mod metrics;
mod page;
