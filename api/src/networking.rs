//! Ingress, IngressClass and NetworkPolicy (networking.k8s.io/v1).

use std::fmt;
use std::net::IpAddr;

use compact_str::CompactString;

use crate::container::{PortRef, Protocol};
use crate::labels::Selector;
use crate::meta::ObjectMeta;
use crate::symbol::Symbol;

/// How a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathType {
    /// With the whole path of a request.
    Exact,
    /// With its first elements.
    Prefix,
    /// As the controller likes.
    ImplementationSpecific,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressBackend {
    /// To a Service of the Ingress's namespace.
    Service {
        /// Its name.
        name: Symbol,
        /// One of its ports, by name or number.
        port: PortRef,
    },
    /// To another object, which the controller knows.
    Resource {
        /// Its kind.
        kind: Symbol,
        /// Its name.
        name: CompactString,
    },
}

/// A path and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressPath {
    /// The path; empty stands for all.
    pub path: CompactString,
    /// How it is compared.
    pub path_type: PathType,
    /// Where its requests go.
    pub backend: IngressBackend,
}

/// What holds for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRule {
    /// The host, `*.` and a domain for all its direct subdomains, or empty for all.
    pub host: CompactString,
    /// Its paths; `None` sends the host to the default backend.
    pub paths: Option<Box<[IngressPath]>>,
}

/// Hosts with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressTls {
    /// The hosts; empty for the controller's own choice.
    pub hosts: Box<[CompactString]>,
    /// The Secret that holds the certificate, empty for the controller's default.
    pub secret: Symbol,
}

/// An Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// The metadata.
    pub meta: ObjectMeta,
    /// Its class; `None` if nothing says it.
    pub class: Option<Symbol>,
    /// Where requests go that no rule is about.
    pub default_backend: Option<IngressBackend>,
    /// Certificates.
    pub tls: Box<[IngressTls]>,
    /// The rules.
    pub rules: Box<[IngressRule]>,
}

/// A class of Ingresses: who serves them.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressClass {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The controller that serves its Ingresses.
    pub controller: CompactString,
}

/// The annotation of the class that Ingresses without one get.
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
/// The annotation that named the class before there was a field.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

impl IngressClass {
    /// Whether Ingresses that name no class get this one.
    pub fn is_default(&self) -> bool {
        self.meta.annotations.get(Symbol::new(DEFAULT_CLASS)).is_some_and(|value| value == "true")
    }
}

impl Ingress {
    /// The class by its field, or by the annotation of old.
    pub fn class_name(&self) -> Option<Symbol> {
        self.class.or_else(|| self.meta.annotations.get(Symbol::new(OLD_CLASS)))
    }
}

/// The class that the server gives an Ingress without one: the default class, the newest if there
/// are several, and of equally old ones the first by name.
pub fn default_class<'a>(classes: impl Iterator<Item = &'a IngressClass>) -> Option<Symbol> {
    let defaults = classes.filter(|class| class.is_default());
    let newest =
        defaults.min_by(|a, b| b.meta.created.cmp(&a.meta.created).then(a.meta.name.cmp(&b.meta.name)));
    newest.map(|class| Symbol::new(&class.meta.name))
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// An address of the range.
    address: IpAddr,
    /// How many of its leading bits all addresses of the range have.
    prefix: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8` or `fd00::/8`.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let canonical = prefix.len() == 1 || !prefix.starts_with(['0', '+']);
        let prefix: u8 = prefix.parse().ok().filter(|&prefix| prefix <= most && canonical)?;
        Some(Cidr { address, prefix })
    }

    /// Whether an address is in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        let leading = |bits: u128, width: u32| bits.checked_shr(width - u32::from(self.prefix)).unwrap_or(0);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let [own, other] = [own, other].map(|ip| leading(u128::from(u32::from(ip)), 32));
                own == other
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let [own, other] = [own, other].map(|ip| leading(u128::from(ip), 128));
                own == other
            }
            _ => false,
        }
    }

    /// Whether all addresses of another range are in this one, and some of this one are not in it.
    pub fn strictly_contains(self, other: Cidr) -> bool {
        self.prefix < other.prefix && self.contains(other.address)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyPeer {
    /// Pods.
    Pods {
        /// Of which namespaces, by their labels; the policy's own if absent.
        namespaces: Option<Selector>,
        /// Which of their pods; all if absent.
        pods: Option<Selector>,
    },
    /// Addresses.
    Block {
        /// The range.
        cidr: Cidr,
        /// Parts of it that are left out.
        except: Box<[Cidr]>,
    },
}

/// Ports at the end that receives a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The port, or the first of several; all if absent.
    pub port: Option<PortRef>,
    /// The last of several.
    pub end_port: Option<u16>,
}

/// What is allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRule {
    /// With whom; everybody if empty.
    pub peers: Box<[PolicyPeer]>,
    /// On which ports; on all if empty.
    pub ports: Box<[PolicyPort]>,
}

/// A NetworkPolicy.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkPolicy {
    /// The metadata.
    pub meta: ObjectMeta,
    /// Which pods of its namespace it isolates.
    pub pods: Selector,
    /// What may reach them; `None` if the policy is not about that.
    pub ingress: Option<Box<[PolicyRule]>>,
    /// What they may reach; `None` if the policy is not about that.
    pub egress: Option<Box<[PolicyRule]>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_addresses_of_their_own_version() {
        for (range, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/31", "10.1.2.2", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "fd12::1", true),
            ("fd00::1/128", "fd00::2", false),
        ] {
            let range = Cidr::parse(range).expect("a range");
            assert_eq!(range.contains(address.parse().expect("an address")), expected, "{range} {address}");
        }
        for wrong in
            ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::/129", "10.0.0.0/08", "10.0.0.0/+8"]
        {
            assert_eq!(Cidr::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_part_is_smaller_than_its_whole() {
        let range = |text| Cidr::parse(text).expect("a range");
        assert!(range("10.0.0.0/8").strictly_contains(range("10.1.0.0/16")));
        assert!(!range("10.0.0.0/8").strictly_contains(range("10.0.0.0/8")));
        assert!(!range("10.0.0.0/8").strictly_contains(range("11.0.0.0/16")));
        assert!(!range("::/0").strictly_contains(range("10.0.0.0/8")));
    }
}
