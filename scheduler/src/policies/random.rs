//! `random`: any node on which the pod fits.

use seatrial_api::pod::Pod;

use crate::cluster::Content;
use crate::config::{DeviceChoice, TieBreak};
use crate::framework::{Plugin, Points, Scope};

use super::{Policy, score_by};

pub(super) const POLICY: Policy = Policy {
    name: "random",
    about: "Any node on which the pod fits, all of them equally likely; a pod that shares a GPU gets any device \
            that fits.",
    formula: "score(n) = 0 for all n; the tie is broken uniformly",
    source: "Q. Weng et al., \"Beware of Fragmentation\" (USENIX ATC 2023), baseline Random: \
             hkust-adsl/kubernetes-scheduler-simulator, pkg/simulator/plugin/random_score.go, open_gpu_share.go",
    parameters: &[],
    plugin: Some(|_| std::sync::Arc::new(RandomScore)),
    adjust: |configuration| {
        score_by(configuration, NAME);
        configuration.ties = TieBreak::Seeded;
        for profile in &mut configuration.profiles {
            profile.arguments.gpu_sharing.devices = DeviceChoice::Random;
        }
    },
};

const NAME: &str = "RandomScore";

/// All nodes score the same. Upstream's counterpart gives 100 to one node that it has drawn; here the
/// scheduler's own random choice among the best nodes does that.
struct RandomScore;

impl Plugin for RandomScore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points { score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, _: &Pod, _: &mut Content) {}
}
