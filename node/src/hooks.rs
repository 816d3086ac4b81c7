//! How the failure of a hook is told (upstream `lifecycle/handlers.go`).

use compact_str::{CompactString, format_compact};
use seatrial_api::container::{Container, HandlerAction};
use seatrial_api::pod::Pod;

use crate::notes::Explanation;
use crate::start::full_name;

/// Why the hook after the start of a container has failed.
pub(crate) fn failure(pod: &Pod, container: &Container, why: &Explanation) -> CompactString {
    let of = |kind: &str, what: String| {
        format_compact!(
            "{kind} lifecycle hook ({what}) for Container \"{}\" in Pod \"{}\" failed - error: {}",
            container.name,
            full_name(pod),
            why.text
        )
    };
    match &container.post_start {
        Some(HandlerAction::Exec(command)) => {
            let words: Vec<&str> = command.iter().map(|word| word.as_str()).collect();
            format_compact!("{}, message: {:?}", of("Exec", format!("[{}]", words.join(" "))), why.output)
        }
        Some(HandlerAction::HttpGet { path, .. }) => of("HTTP", path.to_string()),
        _ => why.text.clone(),
    }
}
