//! The node and its kubelet at the beginning.

use std::sync::Arc;

use seatrial_api::machine::Effects;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::{Node, NodeResources};
use seatrial_api::object::Object;
use seatrial_api::request::Request;
use seatrial_api::resources::Resources;
use seatrial_api::store::ApiServer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_node::config::{Jitter, PresentImages, PullConcurrency, RateLimit};
use seatrial_node::{KubeletConfig, Kubelets};
use serde_json::Value;

use super::calendar::Calendar;
use super::events::Events;
use super::runtime::{self, Runtime};
use super::{LEAD, NODE, Play};

/// The node's processors, memory and disk; what of the memory is kept back; how many pods it takes.
const CPU: MilliCpu = MilliCpu(2_000);
const MEMORY: Bytes = Bytes(24_684_096 << 10);
const MEMORY_RESERVED: Bytes = Bytes(100 << 20);
const STORAGE: Bytes = Bytes(243_497_856_212);
const PODS: i64 = 110;
/// The node's address.
pub(super) const NODE_IP: u32 = 10 << 24 | 1;

/// The settings of the scenario's kubelet.
pub(super) fn config(scenario: &Value) -> Result<KubeletConfig, String> {
    let settings = &scenario["kubeletConfig"];
    let mut config = KubeletConfig {
        images: PresentImages::Listed(runtime::present_images(scenario).into()),
        jitter: Jitter::Middle,
        detailed_statuses: true,
        images_run_as_root: true,
        ..KubeletConfig::default()
    };
    for (key, value) in settings.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            // A property of the node here.
            ("maxPods", Value::Number(_)) => {}
            ("serializeImagePulls", Value::Bool(true)) => config.pulls = PullConcurrency::Serial,
            ("serializeImagePulls", Value::Bool(false)) => config.pulls = PullConcurrency::Parallel(u32::MAX),
            ("maxParallelImagePulls", Value::Number(limit)) => {
                let limit = limit.as_u64().and_then(|limit| u32::try_from(limit).ok()).unwrap_or(1);
                config.pulls =
                    if limit < 2 { PullConcurrency::Serial } else { PullConcurrency::Parallel(limit) };
            }
            ("crashLoopBackOff", value) => {
                config.restart_back_off_max = duration(key, &value["maxContainerRestartPeriod"])?;
            }
            ("syncFrequency", value) => config.resync_period = duration(key, value)?,
            ("shutdownGracePeriod", value) => config.shutdown_grace = duration(key, value)?,
            ("shutdownGracePeriodCriticalPods", value) => {
                config.shutdown_grace_critical = duration(key, value)?;
            }
            ("registryPullQPS" | "registryBurst", Value::Number(_)) => {
                let of = |key: &str, default: i64| settings[key].as_i64().unwrap_or(default);
                let (per_second, burst) = (of("registryPullQPS", 5), of("registryBurst", 10));
                let limit = RateLimit { per_second, burst: burst.max(1) };
                config.registry_rate = (per_second > 0).then_some(limit);
            }
            _ => return Err(format!("kubeletConfig: {key}: {value} is not played")),
        }
    }
    Ok(config)
}

/// A duration such as `1m30s`.
fn duration(key: &str, value: &Value) -> Result<Span, String> {
    let text = value.as_str().unwrap_or("");
    seatrial_api::duration::parse(text)
        .map_err(|_| format!("kubeletConfig: {key}: expected a duration such as 1m30s, found {value}"))
}

fn node(scenario: &Value) -> Node {
    let pods = scenario["kubeletConfig"]["maxPods"].as_i64().unwrap_or(PODS);
    let of = |memory| {
        let amounts = Resources { ephemeral_storage: STORAGE, ..Resources::of(CPU, memory) };
        Arc::new(NodeResources { amounts, pods })
    };
    Node {
        meta: ObjectMeta::named("", NODE),
        name: NODE.into(),
        capacity: of(MEMORY),
        allocatable: of(Bytes(MEMORY.0 - MEMORY_RESERVED.0)),
        ip: NODE_IP,
        ..Node::default()
    }
}

impl<'a> Play<'a> {
    /// The cluster before the first action: the scenario's namespace and a node that has worked for
    /// a while.
    pub(super) fn new(scenario: &'a Value, version: KubernetesVersion) -> Play<'a> {
        let mut server = ApiServer::new(version, 1);
        let mut unseen = Vec::new();
        let namespace = seatrial_api::config::Namespace {
            meta: ObjectMeta::named("", namespace(scenario).as_str()),
            ..Default::default()
        };
        // A namespace that every cluster has is there already.
        let made = [Object::Namespace(Arc::new(namespace)), Object::Node(Arc::new(node(scenario)))]
            .map(|object| server.handle(SimTime::ZERO, Request::Create(object), &mut unseen));
        let [_, Ok(Object::Node(node))] = made else {
            unreachable!("invariant: a store without nodes takes one");
        };
        let config = config(scenario).unwrap_or_default();
        let mut play = Play {
            scenario,
            version,
            now: SimTime::ZERO,
            start: SimTime::ZERO + LEAD,
            calendar: Calendar::new(),
            kubelets: Kubelets::new(1),
            node: node.meta.id,
            server,
            told: Default::default(),
            manifests: Default::default(),
            names: Default::default(),
            specs: Default::default(),
            creating: Value::Null,
            uids: Vec::new(),
            static_uids: Vec::new(),
            runtime: Runtime::new(scenario),
            events: Events::default(),
            trace: Vec::new(),
            stamps: 0,
        };
        let mut effects = Effects::new(true);
        play.kubelets.start_node(SimTime::ZERO, node, Arc::new(config), &mut effects);
        play.apply(effects);
        play
    }
}

/// The namespace of the scenario.
pub(super) fn namespace(scenario: &Value) -> Symbol {
    let name = scenario["namespace"].as_str().or(scenario["id"].as_str());
    Symbol::new(name.unwrap_or("default"))
}
