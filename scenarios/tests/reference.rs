//! `docs/scenario.md` lists every field of the format, as the schema has it. `SEATRIAL_ACCEPT=1`
//! writes the list anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use seatrial_api::document::{Diagnostics, DuplicateKeys, Node, Value, read_documents};
use seatrial_scenarios::schema;

const BEGIN: &str = "<!-- fields: begin -->\n";
const END: &str = "<!-- fields: end -->\n";

/// Titles of the records, in the order of the page. What is not here is spelled out where it is used.
const TITLES: &[(&str, &str)] = &[
    ("ScenarioFile", "The file"),
    ("Metadata", "metadata"),
    ("Pool", "nodes"),
    ("Amounts", "Amounts"),
    ("TaintField", "Taints"),
    ("Autoscale", "nodes: autoscale"),
    ("ClusterAutoscalerField", "autoscaler: cluster-autoscaler"),
    ("ScaleDownField", "autoscaler: scaleDown"),
    ("KarpenterField", "autoscaler: karpenter"),
    ("NodePoolField", "autoscaler: nodePools"),
    ("InstanceTypeField", "autoscaler: instanceTypes"),
    ("PoolLimits", "autoscaler: limits"),
    ("DisruptionField", "autoscaler: disruption"),
    ("BudgetField", "autoscaler: budgets"),
    ("CloudField", "cloud"),
    ("StockOutField", "cloud: stockOuts"),
    ("QuotaField", "cloud: quota"),
    ("GangScheduling", "gangScheduling"),
    ("ControlPlane", "controlPlane"),
    ("FlowControl", "controlPlane: flowControl"),
    ("FeatureGates", "controlPlane: featureGates"),
    ("Latency", "latency"),
    ("SchedulingCycle", "latency.schedulingCycle"),
    ("Profile", "podProfiles"),
    ("SelectorField", "Selectors"),
    ("Expression", "Selectors: matchExpressions"),
    ("Usage", "podProfiles: usage"),
    ("LoadPoint", "podProfiles: load, points"),
    ("StepLoad", "podProfiles: load, a jump"),
    ("Step", "step"),
    ("RampLoad", "podProfiles: load, a ramp"),
    ("Ramp", "ramp"),
    ("SineLoad", "podProfiles: load, a wave"),
    ("Sine", "sine"),
    ("Image", "images"),
    ("MetricEntry", "metrics"),
    ("DescribedObject", "metrics: object"),
    ("ExternalSeries", "metrics: external"),
    ("MetricPoint", "metrics: values"),
    ("ClassStorage", "storage"),
    ("Entry", "timeline"),
    ("Deleted", "timeline: delete"),
    ("Scaled", "timeline: scale"),
    ("SetImage", "timeline: setImage"),
    ("Workload", "timeline: rolloutRestart, rolloutUndo"),
    ("AddNodes", "timeline: addNodes"),
    ("Restart", "timeline: restart"),
    ("FaultEntry", "faults"),
    ("TargetField", "faults: target"),
    ("PodsExpect", "expect: pods"),
    ("RestartsExpect", "expect: restarts"),
    ("EvictionsExpect", "expect: evictions"),
    ("StartLatencyExpect", "expect: startLatency"),
    ("Percentiles", "Percentiles"),
    ("DeploymentsExpect", "expect: deployments"),
    ("JobsExpect", "expect: jobs"),
    ("ServiceExpect", "expect: service"),
    ("SpanMaximum", "Limits of time"),
    ("NodesExpect", "expect: nodes"),
    ("AllocationExpect", "expect: allocation"),
    ("UtilizationExpect", "expect: utilization"),
    ("CostExpect", "expect: costUsd"),
    ("HpaExpect", "expect: hpa"),
    ("EventsExpect", "expect: events"),
    ("MetricExpect", "expect: metric"),
    ("Bounds", "Bounds"),
    ("ExperimentFile", "The experiment file"),
    ("TimeDistribution", "Distributions"),
    ("ByteDistribution", ""),
];

struct Page {
    root: Node,
    out: String,
}

impl Page {
    /// What a value can be, in a few words.
    fn kind(&self, schema: &Node) -> String {
        let text = |key: &str| schema.get(key).and_then(Node::as_str);
        if let Some(name) = text("$ref").and_then(|reference| reference.strip_prefix("#/$defs/")) {
            return match name {
                "TimeDistribution" => "[time or distribution](#distributions)".to_owned(),
                "ByteDistribution" => "[amount or distribution](#distributions)".to_owned(),
                "Expect" => "[expectations](#expect-pods)".to_owned(),
                "LoadShape" => "[a jump](#podprofiles-load-a-jump), [a ramp](#podprofiles-load-a-ramp), [a wave](#podprofiles-load-a-wave)".to_owned(),
                name => self.link(name),
            };
        }
        let examples = schema.get("examples").map_or(String::new(), |examples| examples.value.to_string());
        if examples.contains("\"30s\"") {
            return "time".to_owned();
        }
        if examples.contains("\"250m\"") || examples.contains("\"200Mi\"") {
            return "amount".to_owned();
        }
        if examples.contains("zone-loss") {
            return "time, or a name".to_owned();
        }
        if let Some(items) = schema.get("items") {
            return format!("list of {}", self.kind(items));
        }
        if let Some(choices) = schema.get("anyOf").and_then(Node::as_sequence) {
            let kinds: Vec<String> = choices.iter().map(|choice| self.kind(&choice)).collect();
            return kinds.join(", or ");
        }
        if let Some(words) = schema.get("oneOf").and_then(Node::as_sequence) {
            let words = words.iter().filter_map(|word| word.get("const").cloned());
            return words.map(|word| format!("`{}`", unquoted(&word))).collect::<Vec<_>>().join(", ");
        }
        if let Some(words) = schema.get("enum").and_then(Node::as_sequence) {
            let words = words.iter().filter(|word| word.as_str().is_some());
            return words.map(|word| format!("`{}`", unquoted(&word))).collect::<Vec<_>>().join(", ");
        }
        match (text("type"), text("pattern")) {
            (Some("string"), Some(pattern)) if pattern.contains('/') => "name of an object".to_owned(),
            (Some("string"), Some(_)) => "name".to_owned(),
            (Some("string"), None) if text("format").is_some() => "date and time".to_owned(),
            (Some("string"), None) => "text".to_owned(),
            (Some("integer"), _) => "whole number".to_owned(),
            (Some("number"), _) => "number".to_owned(),
            (Some("boolean"), _) => "`true` or `false`".to_owned(),
            (Some("object"), _) => "texts by name".to_owned(),
            _ if examples.is_empty() && schema.get("pattern").is_some() => {
                "share, such as 0.05 or 5%".to_owned()
            }
            _ => "text or object".to_owned(),
        }
    }

    fn link(&self, name: &str) -> String {
        let title = TITLES.iter().find(|(known, _)| *known == name).map_or(name, |(_, title)| title);
        let anchor: String = title
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || [' ', '-'].contains(letter))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        format!("[{title}](#{anchor})")
    }

    fn record(&mut self, name: &str, title: &str, definition: &Node) {
        let about = definition.get("description").map_or(String::new(), unquoted);
        write!(self.out, "### {title}\n\n{about}\n\n").expect("a string can be written");
        let required: BTreeSet<String> = definition
            .get("required")
            .and_then(Node::as_sequence)
            .into_iter()
            .flatten()
            .map(|name| unquoted(&name))
            .collect();
        let fields = definition.get("properties").and_then(Node::as_mapping).expect(name).clone();
        self.out += "| field | value | meaning |\n|---|---|---|\n";
        for field in fields.entries() {
            let (schema, key) = (&field.value, field.key.as_str());
            let kind = self.kind(schema);
            let about = schema.get("description").map_or(String::new(), unquoted);
            let star = if required.contains(key) { "*" } else { "" };
            let default = schema.get("default").map(|default| format!(" Default: `{}`.", unquoted(default)));
            let default = default.unwrap_or_default();
            let meanings = meanings(schema);
            writeln!(self.out, "| `{key}`{star} | {kind} | {about}{meanings}{default} |").expect("a string");
        }
        self.out += "\n";
    }

    fn distributions(&mut self, definition: &Node) {
        self.out += "### Distributions\n\nA value that is always the same, or a mapping with `distribution` and its parameters:\n\n";
        self.out += "| distribution | parameters | what it is |\n|---|---|---|\n";
        for shape in definition.get("anyOf").and_then(Node::as_sequence).expect("shapes") {
            let Some(name) = shape.at(&["properties", "distribution", "const"]) else { continue };
            let fields = shape.get("properties").and_then(Node::as_mapping).expect("properties");
            let parameters = fields.entries().iter().skip(1).map(|field| format!("`{}`", field.key));
            let parameters = parameters.collect::<Vec<_>>().join(", ");
            let about = shape.get("description").map_or(String::new(), unquoted);
            writeln!(self.out, "| `{}` | {parameters} | {about} |", unquoted(name)).expect("a string");
        }
        self.out += "\n";
    }
}

/// What each word of a choice means.
fn meanings(schema: &Node) -> String {
    let Some(words) = schema.get("oneOf").and_then(Node::as_sequence).filter(|words| words.len() > 1) else {
        return String::new();
    };
    let meaning = |word: &Node| {
        Some(format!(" `{}`: {}", unquoted(word.get("const")?), unquoted(word.get("description")?)))
    };
    words.iter().filter_map(|word| meaning(&word)).collect()
}

fn unquoted(node: &Node) -> String {
    match &node.value {
        Value::String(text) => text.to_string(),
        value => value.to_string(),
    }
}

fn fields() -> String {
    let mut findings = Diagnostics::new();
    let root = read_documents("schema", schema().as_bytes(), DuplicateKeys::Refused, &mut findings).remove(0);
    let definitions = root.get("$defs").and_then(Node::as_mapping).expect("definitions").clone();
    for definition in definitions.entries() {
        let named = TITLES.iter().any(|(name, _)| *name == definition.key);
        assert!(named || definition.value.get("properties").is_none(), "{} has no title", definition.key);
    }
    let mut page = Page { root, out: String::new() };
    for &(name, title) in TITLES {
        let definition = page.root.at(&["$defs", name]).expect(name).clone();
        match title {
            "" => {}
            "Distributions" => page.distributions(&definition),
            title => page.record(name, title, &definition),
        }
    }
    page.out
}

#[test]
fn the_page_lists_every_field_of_the_format() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenario.md");
    let page = std::fs::read_to_string(&path).expect("the page is part of the repository");
    let begin = page.find(BEGIN).expect("the mark of the beginning") + BEGIN.len();
    let end = page.find(END).expect("the mark of the end");
    let fields = format!("\n{}", fields());
    if page[begin..end] == fields {
        return;
    }
    if std::env::var_os("SEATRIAL_ACCEPT").is_some() {
        let page = format!("{}{fields}{}", &page[..begin], &page[end..]);
        std::fs::write(&path, page).expect("a writable page");
    } else {
        panic!("the list of fields differs from the schema; SEATRIAL_ACCEPT=1 writes it anew");
    }
}
