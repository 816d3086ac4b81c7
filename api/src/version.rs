//! Which Kubernetes release is played.

use std::fmt;

/// The release whose behaviour is played, where releases differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KubernetesVersion {
    /// 1.34.
    V1_34,
    /// 1.36.
    #[default]
    V1_36,
}

impl KubernetesVersion {
    /// As written in a scenario.
    pub fn as_str(self) -> &'static str {
        match self {
            KubernetesVersion::V1_34 => "1.34",
            KubernetesVersion::V1_36 => "1.36",
        }
    }

    /// The release that is written like this.
    pub fn parse(text: &str) -> Option<KubernetesVersion> {
        [KubernetesVersion::V1_34, KubernetesVersion::V1_36]
            .into_iter()
            .find(|version| version.as_str() == text)
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
