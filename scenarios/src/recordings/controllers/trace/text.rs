//! Texts in which everything that differs from run to run stands by its alias.

use seatrial_api::meta::Uid;

use super::aliases::Aliases;

/// The length of an identity as text.
const UID_LENGTH: usize = 36;
/// The length of the generated end of a name.
const SUFFIX_LENGTH: usize = 5;
/// The characters of it.
const SUFFIX_ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The text with aliases for generated names and identities. The end of a generated name that was
/// refused is random.
pub(super) fn aliased(text: &str, aliases: &Aliases) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_name_character) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_name_character(c)).unwrap_or(rest.len());
        let end = rest[..end].trim_end_matches('.').len().max(1);
        let (word, after) = rest.split_at(end);
        out.push_str(&aliased_word(word, after, aliases));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '.'
}

fn aliased_word(word: &str, after: &str, aliases: &Aliases) -> String {
    if let Some(alias) = aliases.of_generated(word) {
        return format!("{{{alias}}}");
    }
    if word.len() == UID_LENGTH
        && let Some(alias) = aliases.of_uid(Uid::parse(word))
    {
        return format!("{{uid of {alias}}}");
    }
    let Some((base, suffix)) = word.rsplit_once('-') else { return word.to_owned() };
    let is_generated = suffix.len() == SUFFIX_LENGTH && suffix.chars().all(|c| SUFFIX_ALPHABET.contains(c));
    if is_generated && after.starts_with("\" is ") {
        return format!("{}-{{random}}", aliased_word(base, "", aliases));
    }
    word.to_owned()
}
