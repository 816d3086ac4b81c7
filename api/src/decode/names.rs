//! The forms that names, labels and keys must have (upstream `apimachinery/pkg/util/validation`).

/// The longest DNS label, label value and name part of a key.
const LABEL_MAX: usize = 63;
/// The longest DNS subdomain and prefix of a key.
const SUBDOMAIN_MAX: usize = 253;

/// The form of an object's name, which depends on its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameForm {
    /// A DNS subdomain: labels joined by dots.
    Subdomain,
    /// A DNS label.
    Label,
    /// A DNS label that begins with a letter.
    LetterLabel,
    /// Anything that can stand in a path.
    PathSegment,
}

impl NameForm {
    pub(super) fn admits(self, name: &str) -> bool {
        match self {
            NameForm::Subdomain => is_subdomain(name),
            NameForm::Label => is_label(name),
            NameForm::LetterLabel => is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
            NameForm::PathSegment => !matches!(name, "" | "." | "..") && !name.contains(['/', '%']),
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            NameForm::Subdomain => {
                "at most 253 lower case letters, digits, '-' and '.', with a letter or digit at both ends"
            }
            NameForm::Label => {
                "at most 63 lower case letters, digits and '-', with a letter or digit at both ends"
            }
            NameForm::LetterLabel => {
                "at most 63 lower case letters, digits and '-', with a letter first and a letter or digit last"
            }
            NameForm::PathSegment => "a name without '/' and '%'",
        }
    }
}

/// Whether `text` is a DNS label.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= LABEL_MAX && framed(text, inner, |b| b == b'-')
}

/// Whether `text` is a DNS subdomain.
pub(super) fn is_subdomain(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= SUBDOMAIN_MAX && text.split('.').all(|label| framed(label, inner, |b| b == b'-'))
}

/// Whether `text` can be the value of a label.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified_name(text)
}

/// Whether `text` can be the key of a label or an annotation, or the name of a resource:
/// `[prefix/]name`.
pub(super) fn is_qualified_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_qualified_name(name),
        None => is_qualified_name(text),
    }
}

/// Whether `text` can be the key of an annotation: like that of a label, in either case.
pub(super) fn is_annotation_key(text: &str) -> bool {
    is_qualified_key(&text.to_ascii_lowercase())
}

fn is_qualified_name(text: &str) -> bool {
    text.len() <= LABEL_MAX
        && framed(text, |b| b.is_ascii_alphanumeric(), |b| matches!(b, b'-' | b'_' | b'.'))
}

/// Whether `text` can name a port of a container: at most 15 lower case letters, digits and
/// single '-', one letter at least.
pub(super) fn is_port_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 15
        && framed(text, inner, |b| b == b'-')
        && !text.contains("--")
        && text.bytes().any(|b| b.is_ascii_lowercase())
}

/// Whether `text` can be the key of a ConfigMap or Secret.
pub(super) fn is_config_key(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty()
        && text.len() <= SUBDOMAIN_MAX
        && text.bytes().all(allowed)
        && text != "."
        && !text.starts_with("..")
}

/// Whether `text` begins and ends with an `end` and has nothing but these and `inside` between.
fn framed(text: &str, end: impl Fn(u8) -> bool, inside: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => end(first) && end(last) && bytes.iter().all(|&b| end(b) || inside(b)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_form_of_their_kind() {
        let long = "a".repeat(64);
        for (name, subdomain, label, letter_label, path) in [
            ("web", true, true, true, true),
            ("1web", true, true, false, true),
            ("web.shop", true, false, false, true),
            ("Web", false, false, false, true),
            ("web-", false, false, false, true),
            ("-web", false, false, false, true),
            ("web..shop", false, false, false, true),
            ("web_1", false, false, false, true),
            ("", false, false, false, false),
            ("..", false, false, false, false),
            ("a/b", false, false, false, false),
            (long.as_str(), true, false, false, true),
            ("wéb", false, false, false, true),
        ] {
            let forms = [NameForm::Subdomain, NameForm::Label, NameForm::LetterLabel, NameForm::PathSegment];
            let admitted = forms.map(|form| form.admits(name));
            assert_eq!(admitted, [subdomain, label, letter_label, path], "{name}");
        }
    }

    #[test]
    fn keys_and_values_have_the_form_of_labels() {
        for (key, valid) in [
            ("app", true),
            ("app.kubernetes.io/name", true),
            ("App_1.x", true),
            ("a/b/c", false),
            ("/b", false),
            ("a/", false),
            ("", false),
            ("A.b/c", false),
            ("-a", false),
        ] {
            assert_eq!(is_qualified_key(key), valid, "{key}");
        }
        assert!(is_annotation_key("A.b/c"));
        assert!(is_label_value("") && is_label_value("v1.2_x") && !is_label_value("a b"));
        assert!(is_port_name("http-2") && !is_port_name("80") && !is_port_name("a--b") && !is_port_name(""));
        assert!(
            is_config_key("a.B_c-1") && !is_config_key("..a") && !is_config_key("a/b") && !is_config_key("")
        );
    }
}
