//! The version of Kubernetes whose behaviour is played.

use std::fmt;

/// The one switch for behaviours that changed between versions; every machine is handed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KubernetesVersion {
    /// 1.34.
    V1_34,
    /// 1.36.
    #[default]
    V1_36,
}

impl KubernetesVersion {
    /// The version that users write like this: `1.34` or `1.36`.
    pub fn parse(text: &str) -> Option<KubernetesVersion> {
        match text {
            "1.34" => Some(KubernetesVersion::V1_34),
            "1.36" => Some(KubernetesVersion::V1_36),
            _ => None,
        }
    }

    /// As users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            KubernetesVersion::V1_34 => "1.34",
            KubernetesVersion::V1_36 => "1.36",
        }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
