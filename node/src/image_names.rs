//! What an image may be called (upstream `distribution/reference`).

/// Why a name is none, if it is not.
pub(crate) fn fault(image: &str) -> Option<String> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let path = match name.split_once('/') {
        Some((first, rest)) if is_domain(first) => rest,
        _ => name,
    };
    if path.chars().any(char::is_uppercase) {
        return Some(format!("invalid reference format: repository name ({path}) must be lowercase"));
    }
    let sound = path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(|digest| digest.contains(':') && !digest.ends_with(':'));
    (!sound).then(|| "invalid reference format".to_owned())
}

/// The name with the tag that counts where neither a tag nor a digest is written.
pub(crate) fn with_tag(image: &str) -> Option<String> {
    let name = image.rsplit('/').next().unwrap_or(image);
    (!name.contains([':', '@'])).then(|| format!("{image}:latest"))
}

fn is_domain(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
}

/// Lower case letters and digits, parted by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = component.starts_with(alphanumeric) && component.ends_with(alphanumeric);
    let mut separators = component.split(alphanumeric).filter(|part| !part.is_empty());
    ends && separators.all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|byte| byte == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_lower_case_names_of_components() {
        for image in ["app", "app:1", "host:5000/a/b-c.d__e:v1.2", "a/b@sha256:00", "localhost/x"] {
            assert_eq!(fault(image), None, "{image}");
        }
        let upper = "invalid reference format: repository name (UPPER) must be lowercase";
        assert_eq!(fault("reg.example/UPPER:1").as_deref(), Some(upper));
        for image in ["", "a b", "a//b", "-a", "a:", "a:b c", "a@x"] {
            assert_eq!(fault(image).as_deref(), Some("invalid reference format"), "{image}");
        }
    }
}
