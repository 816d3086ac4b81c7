//! Keeps the values of Secrets out of results folders.
//!
//! A run does not depend on them, so an input in which they are replaced still plays the same.

use std::borrow::Cow;

use seatrial_api::document::{Diagnostics, DuplicateKeys, Entry, Mapping, Node, Value, read_documents};

use crate::directory::InputFile;

/// `redacted` as `data` holds it, in base64.
const DATA: &str = "cmVkYWN0ZWQ=";
/// The same as `stringData` holds it.
const STRING_DATA: &str = "redacted";
/// How deep objects are looked for in the texts of other objects.
const DEPTH_MAX: usize = 4;

/// The content of `input` without the values of Secrets: as it is, or, where a Secret is in it,
/// its documents written anew as JSON, which is YAML too.
pub(crate) fn secrets<'a>(input: &InputFile<'a>) -> Cow<'a, [u8]> {
    if !may_hold_secrets(input.content) {
        return Cow::Borrowed(input.content);
    }
    let mut findings = Diagnostics::new();
    let mut documents = read_documents(input.name, input.content, DuplicateKeys::LastWins, &mut findings);
    if findings.has_errors() {
        return Cow::Borrowed(b"# Left out: it may hold Secrets, and it is neither YAML nor JSON.\n");
    }
    let mut found = false;
    for document in &mut documents {
        found |= redact(document, false, 0);
    }
    if !found {
        return Cow::Borrowed(input.content);
    }
    let note = "# The values of Secrets were replaced; that changes nothing in the run.\n";
    let mut text = if input.name.ends_with(".json") { String::new() } else { note.to_owned() };
    push_documents(&documents, &mut text);
    Cow::Owned(text.into_bytes())
}

fn push_documents(documents: &[Node], out: &mut String) {
    for (index, document) in documents.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "---\n" });
        out.push_str(&document.value.to_string());
        out.push('\n');
    }
}

/// Whether `Secret` can be in it, plainly or by escapes.
fn may_hold_secrets(content: &[u8]) -> bool {
    let holds = |wanted: &[u8]| content.windows(wanted.len()).any(|window| window == wanted);
    // The encodings of UTF-16 have a zero in every second byte.
    holds(b"Secret") || content.contains(&0) || [b"\\u", b"\\U", b"\\x"].iter().any(|escape| holds(*escape))
}

/// Replaces the values of Secrets at and below `node`; says whether there was one. `secret` is
/// whether the object is one without saying so, as an item of a SecretList.
fn redact(node: &mut Node, secret: bool, depth: usize) -> bool {
    match &node.value {
        Value::Mapping(fields) => {
            let kind = fields.get("kind").and_then(Node::as_str).unwrap_or_default();
            let (own, items) = (secret || kind == "Secret", kind == "SecretList");
            let mut entries = fields.entries().to_vec();
            let mut found = false;
            for entry in &mut entries {
                found |= match entry.key.as_str() {
                    "data" if own => replace_values(entry, DATA),
                    "stringData" if own => replace_values(entry, STRING_DATA),
                    "items" if items => redact(&mut entry.value, true, depth),
                    _ => redact(&mut entry.value, false, depth),
                };
            }
            if found {
                node.value = Value::Mapping(Mapping::new(entries));
            }
            found
        }
        Value::Sequence(elements) => {
            let mut elements = elements.to_vec();
            let found =
                elements.iter_mut().fold(false, |found, element| redact(element, secret, depth) | found);
            if found {
                node.value = Value::Sequence(elements.into_iter().collect());
            }
            found
        }
        Value::String(text) => match redacted_text(text, depth) {
            Some(text) => {
                node.value = Value::String(text.into());
                true
            }
            None => false,
        },
        _ => false,
    }
}

/// Manifests inside a text: inline in a scenario, or in the annotation of `kubectl apply`.
fn redacted_text(text: &str, depth: usize) -> Option<String> {
    if depth == DEPTH_MAX || !may_hold_secrets(text.as_bytes()) || !text.contains("kind") {
        return None;
    }
    let mut findings = Diagnostics::new();
    let mut documents = read_documents("", text.as_bytes(), DuplicateKeys::LastWins, &mut findings);
    let found =
        documents.iter_mut().fold(false, |found, document| redact(document, false, depth + 1) | found);
    let mut out = String::new();
    push_documents(&documents, &mut out);
    found.then_some(out)
}

/// Replaces every value of the field `entry`.
fn replace_values(entry: &mut Entry, with: &str) -> bool {
    let redacted = || Node::unplaced(Value::String(with.into()));
    match &entry.value.value {
        Value::Null => return false,
        Value::Mapping(fields) => {
            let values = fields.entries().iter().map(|field| Entry { value: redacted(), ..field.clone() });
            entry.value.value = Value::Mapping(Mapping::new(values));
        }
        _ => entry.value = redacted(),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, content: &str, expected: &str) {
        let found = secrets(&InputFile { name, content: content.as_bytes() });
        assert_eq!(std::str::from_utf8(&found).expect("text"), expected);
    }

    #[test]
    fn what_holds_no_secret_is_kept_byte_for_byte() {
        for text in
            ["", "a: 1 # note\n", "kind: Pod\nspec: {imagePullSecrets: [{name: x}]}\n", "kind: SecretStore\n"]
        {
            check("a.yaml", text, text);
        }
    }
}
