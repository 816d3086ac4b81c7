//! DefaultPreemption: makes room by evicting pods of lower priority.

use crate::config::{ConfigurationError, PreemptionArgs};
use crate::framework::{EventContext, Hint, Plugin, Points, Scope};
use crate::preemption::{self, PostFilter, PostFilterContext};
use crate::queue::{ClusterEvent, EventKind, Interests};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DefaultPreemption {
    arguments: PreemptionArgs,
}

impl DefaultPreemption {
    pub(crate) fn new(arguments: PreemptionArgs) -> Result<DefaultPreemption, ConfigurationError> {
        let PreemptionArgs { min_candidate_nodes_percentage: share, min_candidate_nodes_absolute: count } =
            arguments;
        if !(0..=100).contains(&share) || count < 0 || (share == 0 && count == 0) {
            let text = "the percentage must be from 0 to 100, the number not negative, and not both 0";
            return Err(ConfigurationError::new("pluginConfig[DefaultPreemption].args", text));
        }
        Ok(DefaultPreemption { arguments })
    }
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    fn points(&self) -> Points {
        Points { post_filter: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn post_filter(&self, context: &mut PostFilterContext<'_>) -> PostFilter {
        preemption::preempt(context, self.arguments)
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::PodDelete])
    }

    fn hint(&self, _: EventContext<'_>, _: &ClusterEvent) -> Hint {
        Hint::Skip
    }
}
