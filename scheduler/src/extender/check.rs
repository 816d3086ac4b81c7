//! Whether extenders can work together.

use crate::config::{ConfigurationError, ExtenderConfiguration};
use crate::plugins::fit::is_extended;

/// Whether extenders can work together.
///
/// # Errors
/// If one scores without a weight, several bind, or a managed resource is none that can be managed.
pub(crate) fn check(extenders: &[ExtenderConfiguration]) -> Result<(), ConfigurationError> {
    let wrong = |index: usize, field: &str, text: &str| {
        Err(ConfigurationError::new(&format!("extenders[{index}].{field}"), text))
    };
    let mut managed = Vec::new();
    for (index, extender) in extenders.iter().enumerate() {
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            return wrong(index, "weight", "an extender that scores nodes needs a positive weight");
        }
        if !extender.bind_verb.is_empty()
            && extenders[..index].iter().any(|other| !other.bind_verb.is_empty())
        {
            return wrong(index, "bindVerb", "only one extender can bind pods");
        }
        for (entry, resource) in extender.managed_resources.iter().enumerate() {
            if !is_extended(resource.name) || managed.contains(&resource.name) {
                let text = format!("{} is no extended resource, or it is managed already", resource.name);
                return wrong(index, &format!("managedResources[{entry}].name"), &text);
            }
            managed.push(resource.name);
        }
    }
    Ok(())
}
