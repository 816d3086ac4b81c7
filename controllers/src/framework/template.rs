//! Hashes of pod templates, by which owners name and recognise what they make of them.

use std::hash::{Hash, Hasher};

use compact_str::CompactString;
use seatrial_api::labels::Labels;
use seatrial_api::pod::PodTemplate;
use seatrial_api::symbol::Symbol;

/// Label of a Deployment's ReplicaSets and pods.
pub(crate) const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// FNV-1a of 32 bits, over whatever a value's `Hash` feeds it.
struct Fnv1a(u32);

impl Hasher for Fnv1a {
    fn finish(&self) -> u64 {
        u64::from(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(16_777_619);
        }
    }
}

/// A short name for a template, the same wherever it is computed.
///
/// Model: upstream hashes a dump of its own Go structures, so the digits differ; length, alphabet
/// and the role of `collisions` are the same.
pub(crate) fn template_hash(template: &PodTemplate, collisions: Option<i32>) -> CompactString {
    let mut hasher = Fnv1a(2_166_136_261);
    template.hash(&mut hasher);
    if let Some(collisions) = collisions {
        hasher.write(&i64::from(collisions).to_le_bytes());
    }
    encode(hasher.0)
}

/// The decimal digits of a number in an alphabet that forms no words.
fn encode(number: u32) -> CompactString {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    compact_str::format_compact!("{number}")
        .bytes()
        .map(|digit| char::from(ALPHABET[usize::from(digit) % 27]))
        .collect()
}

/// Whether both templates make the same pods, but for the label that carries their hash.
pub(crate) fn same_template(a: &PodTemplate, b: &PodTemplate, hash_key: Symbol) -> bool {
    let specs = std::sync::Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec;
    specs && a.annotations == b.annotations && same_labels(&a.labels, &b.labels, hash_key)
}

fn same_labels(a: &Labels, b: &Labels, ignored: Symbol) -> bool {
    a.same_allocation(b)
        || a.iter().filter(|pair| pair.0 != ignored).eq(b.iter().filter(|pair| pair.0 != ignored))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seatrial_api::container::Container;
    use seatrial_api::pod::PodSpec;

    use super::*;

    fn template(image: &str, labels: &[(&str, &str)]) -> PodTemplate {
        let spec = PodSpec::new(vec![Container::new("main", image)]).sealed();
        PodTemplate { labels: Labels::of(labels), annotations: Labels::NONE, spec: Arc::new(spec) }
    }

    #[test]
    fn the_hash_follows_the_content_and_the_collisions() {
        let (a, b) = (template("a", &[]), template("b", &[]));
        assert_eq!(template_hash(&a, None), template_hash(&template("a", &[]), None));
        let hashes = [
            template_hash(&a, None),
            template_hash(&a, Some(0)),
            template_hash(&a, Some(1)),
            template_hash(&b, None),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(hash.len() <= 10 && hash.bytes().all(|byte| b"bcdf456789".contains(&byte)), "{hash}");
            assert!(hashes[..index].iter().all(|other| other != hash));
        }
    }

    #[test]
    fn templates_are_compared_without_their_hash_label() {
        let key = Symbol::new(POD_TEMPLATE_HASH);
        let plain = template("a", &[("app", "web")]);
        assert!(same_template(&plain, &template("a", &[("app", "web"), (POD_TEMPLATE_HASH, "x")]), key));
        assert!(!same_template(&plain, &template("a", &[("app", "db")]), key));
        assert!(!same_template(&plain, &template("b", &[("app", "web")]), key));
    }
}
