//! From files to a cluster that can be played: reading, checking what refers to what, and filling in
//! what nobody said.

mod autoscaler;
pub(crate) mod change;
mod check;
mod defaults;
mod expect;
mod faults;
mod files;
mod latency;
mod metrics;
mod nodes;
mod objects;
mod owners;
mod profiles;
mod queue;
mod storage;
mod timeline;
mod unused;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seatrial_api::calendar::{Calendar, Timestamp};
use seatrial_api::decode::Mode;
use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath, Position};
use seatrial_api::object::Object;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_scheduler::config::{SchedulerConfiguration, TieBreak};
use seatrial_scheduler::extender::ExtenderCalls;
use seatrial_scheduler::policies::{self, Policy};
use seatrial_sim_core::cluster::config::{ClusterConfig, Recording};

use crate::expect::Expectation;
use crate::file::scheduler::read_scheduler_configuration;
use crate::file::{FlowControl, Ties};
use crate::file::{ScenarioFile, read_scenario};
use crate::schema::{Text, nearest, one_of};
use check::{Checker, Referent};
pub use files::Files;
use nodes::Machines;
use objects::{KnownObjects, Mention, ObjectSource, missing_namespaces, newest_time_of, not_played};

/// What to play: a scenario, manifests, the state of a running cluster, or several of these, and
/// what differs from them.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The scenario file.
    pub scenario: Option<PathBuf>,
    /// Files and folders with manifests, applied after those of the scenario.
    pub manifests: Vec<PathBuf>,
    /// A dump of a running cluster, from which the run starts.
    pub state: Option<PathBuf>,
    /// How many machines there are, where neither scenario nor state describes any.
    pub nodes: Option<u32>,
    /// How long the run is.
    pub duration: Option<Span>,
    /// The seed.
    pub seed: Option<u64>,
    /// The version whose behaviour is followed.
    pub version: Option<KubernetesVersion>,
    /// The scheduling policy.
    pub policy: Option<String>,
    /// When the run starts.
    pub start: Option<Timestamp>,
    /// Fields of the scenario that are not what its file says; made by an
    /// [`Experiment`](crate::Experiment).
    pub changes: Vec<change::Change>,
    /// How extenders of the scheduler are called; without it they are refused.
    pub extender_calls: ExtenderCalls,
}

/// What is ready to be played.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The cluster and what will happen to it.
    pub config: ClusterConfig,
    /// What is expected of the run.
    pub expectations: Vec<Expectation>,
    /// What the scenario shows, for readers; empty without one.
    pub description: String,
    /// What the user should know.
    pub warnings: Diagnostics,
    /// Kinds that are stored and have no logic yet, with how many objects there are at the start.
    pub not_played: Vec<(Symbol, u32)>,
    /// Every file that was read, in order.
    pub inputs: Vec<PathBuf>,
}

/// Reads and checks what `request` names.
///
/// # Errors
/// All that is wrong with the files.
pub fn load(files: &dyn Files, request: &Request) -> Result<Loaded, Diagnostics> {
    let mut findings = Diagnostics::new();
    let mut made = Vec::new();
    let loader = Loader::new(files, request, &mut made, &mut findings);
    let scenario = request.scenario.as_deref().map_or(COMMAND_LINE.into(), |path| path.display().to_string());
    let loaded = loader.and_then(|loader| loader.load(&mut findings));
    findings = change::attribute(findings, &scenario.into(), &made);
    findings.sort();
    match loaded {
        Some(loaded) if !findings.has_errors() => Ok(Loaded { warnings: findings, ..loaded }),
        _ => Err(findings),
    }
}

/// What messages call the command line.
const COMMAND_LINE: &str = "command line";

/// What stands for a scenario where there is none: every field at its default.
const EMPTY_SCENARIO: &str = "apiVersion: seatrial/v1\nkind: Scenario\nmetadata: {name: run}\n";

struct Loader<'a> {
    files: &'a dyn Files,
    request: &'a Request,
    scenario: ScenarioFile,
    /// The scenario, or the command line, as messages call it.
    file: Arc<str>,
    /// Where the paths in the scenario begin.
    folder: PathBuf,
    duration: Span,
    version: KubernetesVersion,
    inputs: Vec<PathBuf>,
}

/// The objects that a run starts with.
struct Objects {
    state: Vec<Object>,
    manifests: Vec<Object>,
    /// What each entry of the timeline applies.
    applied: Vec<Vec<Object>>,
    start: Timestamp,
}

impl<'a> Loader<'a> {
    fn new(
        files: &'a dyn Files,
        request: &'a Request,
        made: &mut Vec<change::Made<'a>>,
        findings: &mut Diagnostics,
    ) -> Option<Loader<'a>> {
        let (file, bytes) = match &request.scenario {
            Some(path) => {
                let bytes = files.read(path).map_err(|problem| {
                    let file: Arc<str> = path.display().to_string().into();
                    let error = Diagnostic::error(&file, Position::NONE, &FieldPath::ROOT);
                    findings.push(error.message(format!("the scenario cannot be read: {problem}")));
                });
                (path.display().to_string(), bytes.ok()?)
            }
            None => (COMMAND_LINE.to_owned(), EMPTY_SCENARIO.as_bytes().to_vec()),
        };
        let scenario = read_scenario(&file, &bytes, findings, |root, findings| {
            let (root, changes) = change::change(root, &request.changes, findings);
            *made = changes;
            root
        })?;
        let folder = request.scenario.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let file: Arc<str> = file.into();
        // With an unknown end, nothing can be said to lie beyond it.
        let known = !findings.errors().any(|error| error.file == file && error.path == "for");
        let duration = if known { scenario.duration.value } else { Span::MAX };
        Some(Loader {
            files,
            request,
            file,
            folder: folder.to_owned(),
            duration: request.duration.unwrap_or(duration),
            version: request.version.unwrap_or(scenario.kubernetes_version.0),
            inputs: request.scenario.iter().cloned().collect(),
            scenario,
        })
    }

    fn load(mut self, findings: &mut Diagnostics) -> Option<Loaded> {
        let mut objects = self.read_objects(findings);
        let mut scheduler = self.scheduler(findings);
        if let (Some(scheduler), Some(ties)) = (&mut scheduler, self.scenario.ties) {
            scheduler.ties = match ties {
                Ties::Seeded => TieBreak::Seeded,
                Ties::First => TieBreak::First,
            };
        }
        let mut checker = Checker::new(&self.file, findings);
        if self.duration == Span::ZERO {
            checker.error(&self.scenario.duration, |error| error.expected("a run longer than 0s", "0s"));
        }
        let (mut machines, node_pools) = checker.defining(Referent::Machines, |checker| {
            let mut machines = self.machines(&mut objects, checker);
            let node_pools = nodes::plan_node_pools(&self.scenario, &mut machines, checker);
            (machines, node_pools)
        });
        self.create_namespaces(&mut objects, checker.findings);
        let known = self.known_objects(&objects);
        let scenario = &self.scenario;
        let profiles = scenario.pod_profiles.iter();
        let profiles =
            profiles.map(|profile| profiles::profile(profile, self.duration, &mut checker)).collect();
        let images = scenario.images.iter().map(profiles::image).collect();
        let served = scenario.metrics.iter().map(|entry| metrics::metric(entry, &mut checker)).collect();
        let actions = action_names(scenario, &mut checker);
        let seed = self.request.seed.unwrap_or(scenario.seed);
        let autoscaler = autoscaler::autoscaler(scenario, &machines, &node_pools, seed, &mut checker);
        let cloud = autoscaler::cloud(scenario.cloud.as_ref(), self.duration, &machines, &mut checker);
        let faults = faults::faults(&scenario.faults, self.duration, &machines, &mut checker);
        let fault_names = faults::names(&scenario.faults, &mut checker);
        let context = expect::Context {
            duration: self.duration,
            objects: &known,
            faults: &fault_names,
            actions: &actions,
        };
        let expectations = context.expectations(&scenario.expect, &mut checker);
        let applied = objects.applied.iter().flatten();
        let all: Vec<&Object> = objects.state.iter().chain(&objects.manifests).chain(applied).collect();
        let storage = storage::storage(&scenario.storage, &all, &self.file, &mut checker);
        let mut surroundings =
            timeline::Surroundings { duration: self.duration, objects: &known, machines: &mut machines };
        let timeline = surroundings.timeline(&scenario.timeline, objects.applied, &mut checker);
        let latency = latency::model(scenario.latency.as_ref());
        let client_rate_limits = scenario.control_plane.as_ref().is_none_or(|plane| plane.client_rate_limits);
        let flow_control = scenario.control_plane.as_ref().and_then(|plane| plane.flow_control.as_ref());
        let seats = |flow: &FlowControl| flow.read.saturating_add(flow.mutating);
        let absent_owners = owners::absent(&objects.state, &self.file, checker.findings);
        let mut config = ClusterConfig {
            name: self.name(),
            seed,
            version: self.version,
            start_unix_seconds: objects.start.seconds,
            duration: self.duration,
            nodes: machines.nodes,
            state: objects.state,
            absent_owners,
            manifests: objects.manifests,
            profiles,
            images,
            metrics: served,
            hpa_scale_to_zero: self.scales_to_zero(),
            flow_control_seats: flow_control.map(seats),
            arrivals: None,
            timeline,
            faults,
            scheduler: queue::queue(scheduler?, scenario),
            autoscaler,
            cloud,
            latency,
            storage,
            client_rate_limits,
            recording: Recording::Full,
        };
        config.scheduler = config.scheduler_configuration();
        unused::warn(scenario, &config, &mut Checker::new(&self.file, findings));
        Some(Loaded {
            expectations,
            description: scenario
                .description
                .as_ref()
                .map_or(String::new(), |Text(text)| text.trim().to_owned()),
            warnings: Diagnostics::new(),
            not_played: not_played(config.state.iter().chain(&config.manifests)),
            inputs: self.inputs,
            config,
        })
    }

    /// The scenario's name, or the one of the file that stands in for it.
    fn name(&self) -> String {
        let stand_in = match self.request.scenario {
            Some(_) => None,
            None => self.request.manifests.first().or(self.request.state.as_ref()),
        };
        let stem = stand_in.and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
        let stem = stem.filter(|stem| stem != "-");
        stem.unwrap_or_else(|| self.scenario.metadata.name.0.to_string())
    }

    fn read_objects(&mut self, findings: &mut Diagnostics) -> Objects {
        let command_line: Arc<str> = COMMAND_LINE.into();
        let on_command_line = Mention { file: &command_line, position: Position::NONE, path: "" };
        let in_scenario = self.scenario.state.as_ref().map(|placed| {
            let mention = Mention { file: &self.file, position: placed.position, path: &placed.path };
            (self.folder.join(&*placed.value.0), mention)
        });
        let named = self.request.state.clone().map(|path| (path, on_command_line)).or(in_scenario);
        let dump = named.and_then(|(path, mention)| match self.files.read(&path) {
            Ok(bytes) => Some((path, bytes)),
            Err(problem) => {
                objects::unreadable(&path, &problem, mention, findings);
                None
            }
        });
        let newest =
            dump.as_ref().and_then(|(path, bytes)| newest_time_of(&path.display().to_string(), bytes));
        let start = self.request.start.or(self.scenario.start).or(newest);
        let calendar = start.map_or(Calendar::default(), Calendar::starting_at);
        let mut state = Vec::new();
        if let Some((path, bytes)) = dump {
            let mut source = self.source(Mode::State, calendar);
            source.text(&path.display().to_string(), &bytes, &mut state, findings);
            self.inputs.push(path);
        }
        let mut source = self.source(Mode::Manifest, calendar);
        let mut manifests = Vec::new();
        let mut checker = Checker::new(&self.file, findings);
        for manifest in self.scenario.manifests.iter() {
            timeline::read_manifest(manifest, &self.folder, &mut source, &mut manifests, &mut checker);
        }
        for path in &self.request.manifests {
            source.path(path, on_command_line, &mut manifests, checker.findings);
        }
        let applied =
            timeline::read_applied(&self.scenario.timeline, &self.folder, &mut source, &mut checker);
        self.inputs.extend(source.inputs);
        Objects { state, manifests, applied, start: calendar.start() }
    }

    /// Whether the feature gate `HPAScaleToZero` is on.
    fn scales_to_zero(&self) -> bool {
        let gates = self.scenario.control_plane.as_ref().and_then(|plane| plane.feature_gates.as_ref());
        gates.is_some_and(|gates| gates.hpa_scale_to_zero)
    }

    fn source(&self, mode: Mode, calendar: Calendar) -> ObjectSource<'a> {
        let scenario = self.request.scenario.as_deref();
        let source = ObjectSource::new(self.files, scenario, mode, calendar, self.version);
        if self.scales_to_zero() { source.scaling_to_zero() } else { source }
    }

    /// The machines: those of the scenario, of the state and of the manifests, or some that suit.
    fn machines(&self, objects: &mut Objects, checker: &mut Checker<'_>) -> Machines {
        let mut machines = Machines::default();
        for node in objects.state.iter().filter_map(as_node) {
            machines.know_node(node);
        }
        objects.manifests.retain(|object| as_node(object).map(|node| machines.add_node(node)).is_none());
        let described = !self.scenario.nodes.is_empty() || !machines.is_empty();
        nodes::plan_pools(&self.scenario.nodes, &mut machines, checker);
        match self.request.nodes {
            Some(_) if described => {
                let error = Diagnostic::error(&COMMAND_LINE.into(), Position::NONE, &FieldPath::ROOT);
                let message = "a number of nodes is for runs whose machines nobody describes";
                checker
                    .findings
                    .push(error.message(message).hint("change the count of the pool in the scenario"));
            }
            Some(count) if count > nodes::NODES_MAX => {
                let error = Diagnostic::error(&COMMAND_LINE.into(), Position::NONE, &FieldPath::ROOT);
                let expected = format!("at most {} nodes", nodes::NODES_MAX);
                checker.findings.push(error.expected(expected, count.to_string()));
            }
            _ if described => {}
            count => {
                let count = count.unwrap_or(defaults::NODES_DEFAULT);
                let pool = defaults::pool_for(&objects.manifests, count, &self.file, checker.findings);
                machines.add_pool(pool, count);
            }
        }
        machines
    }

    fn create_namespaces(&self, objects: &mut Objects, findings: &mut Diagnostics) {
        let applied = objects.applied.iter().flatten();
        let all = objects.state.iter().chain(&objects.manifests).chain(applied);
        let made = missing_namespaces(all, &self.file, findings);
        objects.manifests.splice(0..0, made);
    }

    fn known_objects(&self, objects: &Objects) -> KnownObjects {
        let mut known = KnownObjects::default();
        let applied = objects.applied.iter().flatten();
        objects.state.iter().chain(&objects.manifests).chain(applied).for_each(|object| known.add(object));
        known
    }

    fn scheduler(&mut self, findings: &mut Diagnostics) -> Option<SchedulerConfiguration> {
        let mut checker = Checker::new(&self.file, findings);
        let (policy, file) = (&self.scenario.policy, &self.scenario.scheduler_config);
        match (&self.request.policy, policy, file) {
            (Some(policy), _, _) => configuration_of(policy).or_else(|| {
                let error = Diagnostic::error(&COMMAND_LINE.into(), Position::NONE, &FieldPath::ROOT);
                findings.push(unknown_policy(policy, error));
                None
            }),
            (None, Some(_), Some(file)) => {
                checker.error(file, |error| error.expected("either policy or schedulerConfig", "both"));
                None
            }
            (None, Some(placed), None) => configuration_of(&placed.value.0).or_else(|| {
                checker.error(placed, |error| unknown_policy(&placed.value.0, error));
                None
            }),
            (None, None, Some(file)) => {
                let path = self.folder.join(&*file.value.0);
                match self.files.read(&path) {
                    Ok(bytes) => {
                        self.inputs.push(path.clone());
                        let name = path.display().to_string();
                        let mut read = read_scheduler_configuration(&name, &bytes, findings)?;
                        if !read.extenders.is_empty() {
                            read.extender_calls = self.request.extender_calls.clone();
                            if read.extender_calls.0.is_none() {
                                Checker::new(&self.file, findings).error(file, refuse_extenders);
                                return None;
                            }
                        }
                        Some(read)
                    }
                    Err(problem) => {
                        checker.error(file, |error| error.message(objects::not_readable(&path, &problem)));
                        None
                    }
                }
            }
            (None, None, None) => Some(SchedulerConfiguration::default()),
        }
    }
}

fn refuse_extenders(error: Diagnostic) -> Diagnostic {
    error
        .message("it has extenders, and what they answer cannot be reproduced")
        .hint("--allow-extender-calls calls them and marks the result; without them, leave extenders out")
}

fn configuration_of(policy: &str) -> Option<SchedulerConfiguration> {
    policies::find(policy).map(Policy::configuration)
}

fn unknown_policy(name: &str, error: Diagnostic) -> Diagnostic {
    let error = error.message(format!("there is no policy {name}"));
    let known: Vec<&str> = policies::names().collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.expected(one_of(&known), name),
    }
}

fn as_node(object: &Object) -> Option<&seatrial_api::node::Node> {
    match object {
        Object::Node(node) => Some(node),
        _ => None,
    }
}

/// The named entries of the timeline; an error for each name that occurs twice.
fn action_names(scenario: &ScenarioFile, checker: &mut Checker<'_>) -> Vec<(Symbol, SimTime)> {
    let mut names: Vec<(Symbol, SimTime)> = Vec::new();
    for entry in scenario.timeline.iter() {
        let (Some(name), Some(at)) = (&entry.name, entry.at.as_ref().or(entry.every.as_ref())) else {
            continue;
        };
        let symbol = name.value.0;
        let taken = names.iter().any(|(other, _)| *other == symbol)
            || scenario.faults.iter().any(|fault| fault.name.value == name.value);
        if taken {
            let message = format!("there is another entry or fault named {symbol}");
            checker.error(name, |error| error.message(message));
        }
        names.push((symbol, SimTime::ZERO + at.value));
    }
    names
}
