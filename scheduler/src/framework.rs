//! The scheduling framework: extension points under upstream's names, what plugins are handed and
//! what they answer.
//!
//! Rejections are data: a filter answers with a [`Code`] and says why only if somebody wants to
//! know.

mod plugin;
mod profile;
mod state;
mod status;

pub use plugin::{
    Cycle, EventContext, Hint, Indexed, MAX_NODE_SCORE, Normalization, Plugin, Points, PreBindProgress,
    PreFilter, Restriction, Scope, normalize_by_max, normalize_min_max, normalized,
};
pub use profile::{PluginId, PluginSet, Profile};
pub use state::CycleState;
pub use status::{Code, Reason, Verdict, Why};

pub(crate) use status::{ReasonCounts, fit_message};
