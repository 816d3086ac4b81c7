//! The reports as a user and a program see them.

mod answer;
mod explain;
mod folder;
mod made_up;
mod page;
