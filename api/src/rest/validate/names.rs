//! Names, keys and numbers: what a single text may look like, in upstream's words
//! (`staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go`).

use std::net::{Ipv4Addr, Ipv6Addr};

/// What is wrong with a text, each in a sentence of its own.
pub(super) type Faults = Vec<String>;

pub(super) const LABEL_MAX: usize = 63;
pub(super) const SUBDOMAIN_MAX: usize = 253;

const LABEL_FORM: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const KEY_FORM: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

fn max_length(max: usize) -> String {
    format!("must be no more than {max} characters")
}

fn form_error(message: &str, form: &str, examples: &[&str]) -> String {
    let mut out = format!("{message} (e.g. ");
    for (index, example) in examples.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { " or " });
        out.push_str(&format!("'{example}', "));
    }
    format!("{out}regex used for validation is '{form}')")
}

/// One fault, if the text is not as it should be.
fn fault_unless(good: bool, fault: impl FnOnce() -> String) -> Faults {
    if good { Faults::new() } else { vec![fault()] }
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
fn is_label_form(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_key_form(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

/// A DNS label of lower-case letters.
pub(super) fn dns_label(text: &str) -> Faults {
    let mut faults = fault_unless(text.len() <= LABEL_MAX, || max_length(LABEL_MAX));
    faults.extend(fault_unless(is_label_form(text), || {
        form_error(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
             and end with an alphanumeric character",
            LABEL_FORM,
            &["my-name", "123-abc"],
        )
    }));
    faults
}

/// A DNS subdomain of lower-case letters.
pub(super) fn dns_subdomain(text: &str) -> Faults {
    let mut faults = fault_unless(text.len() <= SUBDOMAIN_MAX, || max_length(SUBDOMAIN_MAX));
    faults.extend(fault_unless(text.split('.').all(is_label_form), || {
        form_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            &format!("{LABEL_FORM}(\\.{LABEL_FORM})*"),
            &["example.com"],
        )
    }));
    faults
}

/// A DNS subdomain whose labels may have underscores, as search domains do.
pub(super) fn dns_subdomain_with_underscore(text: &str) -> Faults {
    const FORM: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let is_form = |label: &str| {
        let inner = label.strip_prefix('_').unwrap_or(label);
        is_label_form(&inner.replace('_', "-")) && !inner.starts_with('_') && !inner.ends_with('_')
    };
    let mut faults = fault_unless(text.len() <= SUBDOMAIN_MAX, || max_length(SUBDOMAIN_MAX));
    faults.extend(fault_unless(text.split('.').all(is_form), || {
        form_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            &format!("{FORM}(\\.{FORM})*"),
            &["example.com"],
        )
    }));
    faults
}

/// A host with `*.` at its beginning.
pub(super) fn wildcard_subdomain(text: &str) -> Faults {
    let mut faults = fault_unless(text.len() <= SUBDOMAIN_MAX, || max_length(SUBDOMAIN_MAX));
    let good = text.strip_prefix("*.").is_some_and(|rest| rest.split('.').all(is_label_form));
    faults.extend(fault_unless(good, || {
        form_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
             consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!("\\*\\.{LABEL_FORM}(\\.{LABEL_FORM})*"),
            &["*.example.com"],
        )
    }));
    faults
}

/// A key of a label or annotation: a name with an optional domain before it.
pub(super) fn qualified_name(text: &str) -> Faults {
    let form = || {
        form_error(
            "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
             character",
            KEY_FORM,
            &["MyName", "my.name", "123-abc"],
        )
    };
    let mut faults = Faults::new();
    let name = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".into());
            } else {
                faults.extend(dns_subdomain(prefix).into_iter().map(|fault| format!("prefix part {fault}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                form()
            )];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".into());
    } else if name.len() > LABEL_MAX {
        faults.push(format!("name part {}", max_length(LABEL_MAX)));
    }
    faults.extend(fault_unless(is_key_form(name), || format!("name part {}", form())));
    faults
}

/// The value of a label.
pub(super) fn label_value(text: &str) -> Faults {
    let mut faults = fault_unless(text.len() <= LABEL_MAX, || max_length(LABEL_MAX));
    faults.extend(fault_unless(text.is_empty() || is_key_form(text), || {
        form_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character",
            &format!("({KEY_FORM})?"),
            &["MyValue", "my_value", "12345"],
        )
    }));
    faults
}

/// The name of an environment variable.
pub(super) fn environment_name(text: &str) -> Faults {
    let mut faults = fault_unless(!text.is_empty(), || "environment variable name must be non-empty".into());
    let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=');
    faults.extend(fault_unless(printable, || {
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .into()
    }));
    faults
}

/// A key of a ConfigMap or Secret.
pub(super) fn config_key(text: &str) -> Faults {
    let mut faults = fault_unless(text.len() <= SUBDOMAIN_MAX, || max_length(SUBDOMAIN_MAX));
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    faults.extend(fault_unless(!text.is_empty() && text.bytes().all(inner), || {
        form_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        )
    }));
    faults.extend(match text {
        "." => vec!["must not be '.'".into()],
        ".." => vec!["must not be '..'".into()],
        text if text.starts_with("..") => vec!["must not start with '..'".into()],
        _ => Faults::new(),
    });
    faults
}

/// The name of a port.
pub(super) fn port_name(text: &str) -> Faults {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let rules = [
        (text.len() <= 15, max_length(15)),
        (
            !text.is_empty() && text.bytes().all(inner),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into(),
        ),
        (text.bytes().any(|b| b.is_ascii_lowercase()), "must contain at least one letter (a-z)".to_owned()),
        (!text.contains("--"), "must not contain consecutive hyphens".into()),
        (!text.starts_with('-') && !text.ends_with('-'), "must not begin or end with a hyphen".into()),
    ];
    rules.into_iter().filter(|(good, _)| !good).map(|(_, fault)| fault).collect()
}

/// The number of a port.
pub(super) fn port_number(number: i64) -> Faults {
    fault_unless((1..=65_535).contains(&number), || inclusive_range(1, 65_535))
}

/// That a number is outside its range.
pub(super) fn inclusive_range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// The number of a user or group.
pub(super) fn id_number(number: i64) -> Faults {
    let max = i64::from(i32::MAX);
    fault_unless((0..=max).contains(&number), || inclusive_range(0, max))
}

/// A percentage.
pub(super) fn percent(text: &str) -> Faults {
    fault_unless(percent_value(text).is_some(), || {
        form_error(
            "a valid percent string must be a numeric string followed by an ending '%'",
            "[0-9]+%",
            &["1%", "93%"],
        )
    })
}

/// The number of a well-formed percentage; capped where it is absurd.
pub(super) fn percent_value(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    good.then(|| digits.parse().unwrap_or(i64::MAX))
}

/// The name of an HTTP header.
pub(super) fn header_name(text: &str) -> Faults {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fault_unless(good, || {
        form_error(
            "a valid HTTP header must consist of alphanumeric characters or '-'",
            "[-A-Za-z0-9]+",
            &["X-Header-Name"],
        )
    })
}

/// A name that can stand in a path.
pub(super) fn path_segment(text: &str) -> Faults {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|bad| text.contains(**bad))
        .map(|bad| format!("may not contain '{bad}'"))
        .collect()
}

/// A name as the base of generated names: a hyphen at its end is followed by more.
pub(super) fn as_prefix(text: &str) -> String {
    if text.len() > 1 && text.ends_with('-') && text.is_char_boundary(text.len() - 2) {
        return format!("{}a", &text[..text.len() - 2]);
    }
    text.to_owned()
}

/// An IP address, as lenient as upstream is for old fields: numbers may have leading zeros.
pub(super) fn parse_address(text: &str) -> Option<Address> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(|address| match address.to_ipv4_mapped() {
            Some(mapped) => Address::V4(mapped),
            None => Address::V6(address),
        });
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.len() <= 12 && part.bytes().all(|b| b.is_ascii_digit());
        *octet = digits.then(|| part.parse::<u64>().ok()).flatten().and_then(|n| u8::try_from(n).ok())?;
    }
    parts.next().is_none().then_some(Address::V4(Ipv4Addr::from(octets)))
}

/// An IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Address {
    /// The bits, those of an IPv4 address at the low end.
    fn bits(self) -> u128 {
        match self {
            Address::V4(address) => u128::from(u32::from(address)),
            Address::V6(address) => u128::from(address),
        }
    }
}

/// That a text is no IP address.
pub(super) fn ip_address(text: &str) -> Faults {
    fault_unless(parse_address(text).is_some(), || {
        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()
    })
}

/// A network: its address and the length of its mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) address: Address,
    pub(super) mask: u32,
}

impl Network {
    /// Whether `other` lies inside and is smaller.
    pub(super) fn strictly_contains(self, other: Network) -> bool {
        let width = match (self.address, other.address) {
            (Address::V4(_), Address::V4(_)) => 32,
            (Address::V6(_), Address::V6(_)) => 128,
            _ => return false,
        };
        let shift = width - self.mask;
        let prefix = |address: Address| address.bits().checked_shr(shift).unwrap_or(0);
        self.mask < other.mask && prefix(self.address) == prefix(other.address)
    }
}

/// A network as `10.0.0.0/8`.
pub(super) fn parse_network(text: &str) -> Option<Network> {
    let (address, mask) = text.split_once('/')?;
    let address = parse_address(address)?;
    let width = if matches!(address, Address::V4(_)) { 32 } else { 128 };
    let digits = !mask.is_empty() && mask.bytes().all(|b| b.is_ascii_digit());
    let mask: u32 = digits.then(|| mask.parse().ok()).flatten()?;
    (mask <= width).then_some(Network { address, mask })
}

/// That a text is no network.
pub(super) fn network(text: &str) -> Faults {
    fault_unless(parse_network(text).is_some(), || {
        "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()
    })
}

/// `[A-Za-z0-9/\-._~%!$&'()*+,;=:]+`
pub(super) fn http_path(text: &str) -> Faults {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    fault_unless(!text.is_empty() && text.bytes().all(inner), || {
        "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_upstream_does() {
        assert!(dns_label("a-1").is_empty() && dns_label("1a").is_empty());
        for bad in ["", "A", "-a", "a-", "a.b", "a_b"] {
            assert_eq!(dns_label(bad).len(), 1, "{bad}");
        }
        assert!(dns_subdomain("a.b-c.d").is_empty());
        assert_eq!(dns_subdomain(&"a.".repeat(150)).len(), 2);
        assert_eq!(qualified_name("").len(), 2);
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/b/c").len(), 1);
        assert!(qualified_name("example.com/My.Name").is_empty());
        assert!(label_value("").is_empty() && !label_value("a b").is_empty());
        assert_eq!(port_name("8080"), ["must contain at least one letter (a-z)"]);
        assert_eq!(percent_value("25%"), Some(25));
        assert_eq!(percent_value("25"), None);
        assert_eq!(as_prefix("web-"), "wea");
    }

    #[test]
    fn addresses_and_networks_are_read() {
        assert!(ip_address("10.0.0.01").is_empty() && ip_address("::1").is_empty());
        assert!(!ip_address("1.2.3").is_empty() && !ip_address("1.2.3.256").is_empty());
        let network = |text| parse_network(text).expect(text);
        assert!(network("10.0.0.0/8").strictly_contains(network("10.1.0.0/16")));
        assert!(!network("10.0.0.0/8").strictly_contains(network("11.1.0.0/16")));
        assert!(!network("::/0").strictly_contains(network("10.0.0.0/8")));
        assert_eq!(parse_network("10.0.0.0/33"), None);
    }
}
