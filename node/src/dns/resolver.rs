//! What a pod asks with: name servers, search domains and options, by its policy (upstream
//! `pkg/kubelet/network/dns/dns.go`).
//!
//! The simulator has no pod that asks. A node agent that runs real containers writes this file for
//! them.

use compact_str::{CompactString, format_compact};

/// How many name servers a pod may have.
const NAMESERVERS_MAX: usize = 3;
/// How many search domains a pod may have, and how long they may be together.
const SEARCHES_MAX: usize = 32;
const SEARCHES_LENGTH_MAX: usize = 2_048;
/// Names with fewer dots are tried with the search domains first.
const CLUSTER_NDOTS: usize = 5;
/// The same of a resolver that nobody configured.
const DEFAULT_NDOTS: usize = 1;

/// `dnsPolicy` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DnsPolicy {
    /// Cluster DNS, but for pods in the node's network.
    #[default]
    ClusterFirst,
    /// Cluster DNS in the node's network too.
    ClusterFirstWithHostNet,
    /// What the node uses.
    Default,
    /// What the pod says alone.
    None,
}

/// `dnsConfig` of a pod, which is added to what its policy gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// Name servers.
    pub nameservers: Vec<CompactString>,
    /// Search domains.
    pub searches: Vec<CompactString>,
    /// Options with their values, empty for those without.
    pub options: Vec<(CompactString, CompactString)>,
}

/// What a resolver goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Name servers, in the order in which they are asked.
    pub nameservers: Vec<CompactString>,
    /// Search domains, in the order in which they are tried.
    pub searches: Vec<CompactString>,
    /// Options with their values, empty for those without.
    pub options: Vec<(CompactString, CompactString)>,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// Its policy.
    pub policy: DnsPolicy,
    /// Whether it shares the node's network.
    pub host_network: bool,
    /// Its own settings.
    pub config: Option<&'a DnsConfig>,
}

impl ResolvConf {
    /// The file of a pod in a cluster of which DNS serves `domain` at `cluster_dns`, on a node that
    /// itself uses `node`. The second value is whether something had to be left out, of which the
    /// kubelet tells in an event `DNSConfigForming`.
    pub fn of_pod(
        asker: Asker<'_>,
        node: &ResolvConf,
        cluster_dns: &[CompactString],
        domain: &str,
    ) -> (ResolvConf, bool) {
        let policy = match asker.policy {
            DnsPolicy::ClusterFirst if asker.host_network => DnsPolicy::Default,
            policy => policy,
        };
        let mut conf = match policy {
            DnsPolicy::None => ResolvConf::default(),
            DnsPolicy::Default => node.clone(),
            DnsPolicy::ClusterFirst | DnsPolicy::ClusterFirstWithHostNet => {
                let namespace = asker.namespace;
                let own = [
                    format_compact!("{namespace}.svc.{domain}"),
                    format_compact!("svc.{domain}"),
                    domain.into(),
                ];
                ResolvConf {
                    nameservers: cluster_dns.to_vec(),
                    searches: own.into_iter().chain(node.searches.iter().cloned()).collect(),
                    options: vec![("ndots".into(), format_compact!("{CLUSTER_NDOTS}"))],
                }
            }
        };
        if let Some(config) = asker.config {
            conf.add(config);
        }
        let cut = conf.cut();
        (conf, cut)
    }

    /// Adds a pod's own settings: what is there already is not repeated, and its options win.
    fn add(&mut self, config: &DnsConfig) {
        let extend = |list: &mut Vec<CompactString>, more: &[CompactString]| {
            for entry in more {
                if !list.contains(entry) {
                    list.push(entry.clone());
                }
            }
        };
        extend(&mut self.nameservers, &config.nameservers);
        extend(&mut self.searches, &config.searches);
        for (name, value) in &config.options {
            match self.options.iter_mut().find(|option| option.0 == *name) {
                Some(option) => option.1 = value.clone(),
                None => self.options.push((name.clone(), value.clone())),
            }
        }
    }

    /// Keeps to what resolvers take. Returns whether something was left out.
    fn cut(&mut self) -> bool {
        let before = (self.nameservers.len(), self.searches.len());
        self.nameservers.truncate(NAMESERVERS_MAX);
        self.searches.truncate(SEARCHES_MAX);
        let mut length = 0;
        let fits = self.searches.iter().take_while(|search| {
            length += search.len() + 1;
            length - 1 <= SEARCHES_LENGTH_MAX
        });
        let fits = fits.count();
        self.searches.truncate(fits);
        before != (self.nameservers.len(), self.searches.len())
    }

    /// The names that are asked for one after another until one exists. A name that ends in a dot is
    /// asked for as it is.
    pub fn candidates(&self, name: &str) -> Vec<CompactString> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.into()];
        }
        let searched = self.searches.iter().map(|search| format_compact!("{name}.{search}"));
        let dots = name.bytes().filter(|&byte| byte == b'.').count();
        let as_it_is = CompactString::from(name);
        if dots >= self.ndots() {
            std::iter::once(as_it_is).chain(searched).collect()
        } else {
            searched.chain([as_it_is]).collect()
        }
    }

    fn ndots(&self) -> usize {
        let option = self.options.iter().find(|option| option.0 == "ndots");
        option.and_then(|option| option.1.parse().ok()).unwrap_or(DEFAULT_NDOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> ResolvConf {
        ResolvConf {
            nameservers: vec!["192.0.2.1".into()],
            searches: vec!["corp.example".into()],
            options: vec![("rotate".into(), "".into())],
        }
    }

    fn of(policy: DnsPolicy, host_network: bool, config: Option<&DnsConfig>) -> (ResolvConf, bool) {
        let asker = Asker { namespace: "shop", policy, host_network, config };
        ResolvConf::of_pod(asker, &node(), &["10.96.0.10".into()], "cluster.local")
    }

    #[test]
    fn the_policy_chooses_between_the_cluster_and_the_node() {
        use DnsPolicy::{ClusterFirst, ClusterFirstWithHostNet, Default, None};
        for (policy, host_network, server, searches) in [
            (ClusterFirst, false, Some("10.96.0.10"), 4),
            (ClusterFirst, true, Some("192.0.2.1"), 1),
            (ClusterFirstWithHostNet, true, Some("10.96.0.10"), 4),
            (Default, false, Some("192.0.2.1"), 1),
            (None, false, Option::None, 0),
        ] {
            let (conf, cut) = of(policy, host_network, Option::None);
            let first = conf.nameservers.first().map(|server| server.as_str());
            assert_eq!((first, conf.searches.len(), cut), (server, searches, false), "{policy:?}");
        }
        let (conf, _) = of(ClusterFirst, false, Option::None);
        let expected = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"];
        assert_eq!(conf.searches, expected);
    }

    #[test]
    fn short_names_are_searched_and_full_ones_are_not() {
        let (conf, _) = of(DnsPolicy::ClusterFirst, false, None);
        for (name, first, count) in [
            ("api", "api.shop.svc.cluster.local", 5),
            ("api.other", "api.other.shop.svc.cluster.local", 5),
            ("a.b.c.d.e.f", "a.b.c.d.e.f", 5),
            ("example.com.", "example.com", 1),
        ] {
            let candidates = conf.candidates(name);
            assert_eq!((candidates[0].as_str(), candidates.len()), (first, count), "{name}");
        }
        assert_eq!(node().candidates("a.b")[0], "a.b", "one dot is enough outside of the cluster");
    }

    #[test]
    fn settings_of_the_pod_are_added_and_what_is_too_much_is_cut() {
        let config = DnsConfig {
            nameservers: vec!["10.96.0.10".into(), "8.8.8.8".into(), "8.8.4.4".into(), "1.1.1.1".into()],
            searches: vec!["corp.example".into(), "x".repeat(2_000).into()],
            options: vec![("ndots".into(), "2".into()), ("edns0".into(), "".into())],
        };
        let (conf, cut) = of(DnsPolicy::ClusterFirst, false, Some(&config));
        assert!(cut);
        assert_eq!(conf.nameservers, ["10.96.0.10", "8.8.8.8", "8.8.4.4"]);
        assert_eq!(conf.searches.len(), 4, "the fifth would be too long");
        assert_eq!(conf.options, [("ndots".into(), "2".into()), ("edns0".into(), CompactString::default())]);
        assert_eq!(conf.candidates("a.b.c")[0], "a.b.c");
        let many = DnsConfig {
            searches: (0..40).map(|n| format_compact!("d{n}")).collect(),
            ..DnsConfig::default()
        };
        assert_eq!(of(DnsPolicy::ClusterFirst, false, Some(&many)).0.searches.len(), SEARCHES_MAX);
    }
}
