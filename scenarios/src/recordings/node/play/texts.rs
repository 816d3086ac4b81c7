//! Texts that differ from run to run, replaced as in the recordings.

use serde_json::Value;

use super::{NODE, Play};

/// An address of a pod, as a text that is replaced in the end.
pub(super) fn address(ip: u32) -> String {
    let [a, b, c, d] = ip.to_be_bytes();
    format!("{a}.{b}.{c}.{d}")
}

/// Replaces identities, addresses, the node's name and durations.
pub(super) fn replace(play: &Play<'_>, trace: &mut [Value]) {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (index, uid) in play.uids.iter().enumerate() {
        pairs.push((uid.clone(), format!("{{uid:{}}}", index + 1)));
    }
    for uid in &play.static_uids {
        pairs.push((uid.clone(), "{static-uid}".to_owned()));
    }
    pairs.push((address(super::setup::NODE_IP), "{hostIP}".to_owned()));
    // Longer ones first, so that none is taken for the beginning of another.
    for (index, ip) in play.runtime.addresses().iter().enumerate().rev() {
        pairs.push((ip.clone(), format!("{{ip:{}}}", index + 1)));
    }
    pairs.push((NODE.to_owned(), "{node}".to_owned()));
    trace.iter_mut().for_each(|entry| walk(entry, &pairs));
}

fn walk(value: &mut Value, pairs: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (from, to) in pairs {
                if text.contains(from.as_str()) {
                    *text = text.replace(from.as_str(), to);
                }
            }
            without_durations(text);
        }
        Value::Array(list) => list.iter_mut().for_each(|value| walk(value, pairs)),
        Value::Object(fields) => {
            let keys: Vec<String> =
                fields.keys().filter(|key| pairs.iter().any(|pair| key.contains(&pair.0))).cloned().collect();
            for key in keys {
                if let Some(value) = fields.remove(&key) {
                    let mut text = Value::from(key);
                    walk(&mut text, pairs);
                    fields.insert(text.as_str().unwrap_or("").to_owned(), value);
                }
            }
            fields.values_mut().for_each(|value| walk(value, pairs));
        }
        _ => {}
    }
}

/// How long a pull took differs from run to run.
fn without_durations(text: &mut String) {
    if !text.starts_with("Successfully pulled image") {
        return;
    }
    let words: Vec<&str> = text.split(' ').collect();
    let replaced: Vec<String> = words
        .iter()
        .map(|word| {
            let bare = word.trim_start_matches('(');
            let is_duration = bare.ends_with('s') && bare.starts_with(|first: char| first.is_ascii_digit());
            if is_duration { word.replace(bare, "{duration}") } else { (*word).to_owned() }
        })
        .collect();
    *text = replaced.join(" ");
}
