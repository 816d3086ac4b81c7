//! Jobs and CronJobs (`pkg/apis/batch/validation/validation.go`).

use super::cron;
use super::meta::{
    self, Scope, Selection, immutable_as, must_be_qualified, non_negative, printed_selector, same,
};
use super::names;
use super::pod;
use crate::document::Node;
use crate::rest::errors::{Bad, Errors, Path};
use crate::schema::internal_json;
use crate::time_zone::TimeZone;

const INDEXED_PARALLELISM_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
const COMPLETIONS_SOFT_MAX: i64 = 100_000;
const HIGH_COMPLETIONS_MAX: i64 = 10_000;
const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const SUCCEEDED_INDEXES_MAX: usize = 64 * 1024;
const MANAGED_BY_MAX: usize = 63;

fn spec_of(object: &Node) -> Node {
    object.field("spec").cloned().unwrap_or_else(Node::empty)
}

/// A Job that is to be created, with the labels and the selector that the server gave it.
pub(super) fn job(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    generated_selector(object, e);
    let spec = spec_of(object);
    job_spec(&spec, e);
    let name = object.get("metadata").map_or("", |meta| meta.str("name"));
    let completions = spec.number("completions").filter(|completions| *completions > 0);
    if let Some(completions) = completions.filter(|_| is_indexed(&spec)) {
        let host = format!("{name}-{}", completions - 1);
        if !names::dns_label(&host).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {host}");
            e.invalid(&Path::new("metadata.name"), name, detail);
        }
    }
}

fn is_indexed(spec: &Node) -> bool {
    spec.str("completionMode") == "Indexed"
}

/// A selector that the server made must be the one that it makes.
fn generated_selector(object: &Node, e: &mut Errors) {
    let spec = spec_of(object);
    if spec.flag("manualSelector") || spec.field("selector").is_none() {
        return;
    }
    let empty = Node::empty();
    let meta = object.field("metadata").unwrap_or(&empty);
    let (uid, name) = (meta.str("uid"), meta.str("name"));
    if uid.is_empty() {
        e.required(&Path::new("metadata.uid"), "");
    }
    let expected = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    let path = Path::new("spec.template.metadata");
    for (key, value) in expected {
        let labels = path.child("labels");
        match spec.at(&["template", "metadata", "labels", key]).and_then(Node::as_str) {
            None => e.required(&labels.key(key), &format!("must be '{value}'")),
            Some(found) if found != value => {
                let printed =
                    internal_json("map[string]string", spec.at(&["template", "metadata", "labels"]));
                e.invalid(&labels.key(key), printed, format!("must be '{value}'"));
            }
            Some(_) => {}
        }
    }
    let labels =
        Node::object([("labels", Node::object(expected.map(|(key, value)| (key, Node::text(value)))))]);
    if meta::selects(&spec, "selector", Some(&labels)) == Selection::Matches(false) {
        let printed = printed_selector(spec.field("selector"));
        e.invalid(&Path::new("spec.selector"), printed, "`selector` not auto-generated");
    }
}

fn job_spec(spec: &Node, e: &mut Errors) {
    let path = Path::new("spec");
    job_fields(spec, &path, e);
    match spec.field("selector") {
        None => e.required(&path.child("selector"), ""),
        Some(_) => meta::label_selector(spec, "selector", &path.child("selector"), e),
    }
    let metadata = spec.at(&["template", "metadata"]);
    if meta::selects(spec, "selector", metadata) == Selection::Matches(false) {
        let labels = internal_json("map[string]string", spec.at(&["template", "metadata", "labels"]));
        let path = path.child("template").child("metadata").child("labels");
        e.invalid(&path, labels, "`selector` does not match template `labels`");
    }
}

/// What Jobs and templates of Jobs have in common.
fn job_fields(spec: &Node, path: &Path, e: &mut Errors) {
    for key in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        non_negative(spec, key, path, e);
    }
    let per_index = spec.number("backoffLimitPerIndex");
    let max_failed = spec.number("maxFailedIndexes");
    if max_failed.is_some() && per_index.is_none() {
        e.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = spec.field("managedBy").and_then(Node::as_str) {
        managed_by(manager, &path.child("managedBy"), e);
    }
    completion_mode(spec, path, e);
    if !is_indexed(spec) && matches!(spec.str("completionMode"), "" | "NonIndexed") {
        for (key, value) in [("backoffLimitPerIndex", per_index), ("maxFailedIndexes", max_failed)] {
            if let Some(value) = value {
                e.invalid(&path.child(key), value, "requires indexed completion mode");
            }
        }
    }
    if let Some(policy) = spec.field("podFailurePolicy") {
        failure_policy(spec, policy, &path.child("podFailurePolicy").child("rules"), e);
    }
    if let Some(policy) = spec.field("successPolicy") {
        if is_indexed(spec) {
            success_policy(spec, policy, &path.child("successPolicy").child("rules"), e);
        } else {
            let printed = internal_json("batch.SuccessPolicy", Some(policy));
            e.invalid(&path.child("successPolicy"), printed, "requires indexed completion mode");
        }
    }
    replacement_policy(spec, &path.child("podReplacementPolicy"), e);
    let template = spec.field("template").cloned().unwrap_or_else(Node::empty);
    pod::template(&template, &path.child("template"), e);
    let restart = template.get("spec").map_or("", |spec| spec.str("restartPolicy"));
    let at = path.child("template").child("spec").child("restartPolicy");
    match restart {
        "Always" | "" => e.required(&at, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.field("podFailurePolicy").is_some() => {
            e.invalid(&at, restart, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        other => e.unsupported(&at, other, &["OnFailure", "Never"]),
    }
}

fn managed_by(manager: &str, path: &Path, e: &mut Errors) {
    if manager.is_empty() {
        e.required(path, "");
    } else {
        domain_prefixed_path(manager, path, e);
    }
    if manager.len() > MANAGED_BY_MAX {
        e.too_long(path, MANAGED_BY_MAX);
    }
}

/// A path behind a domain: `acme.io/foo`.
pub(super) fn domain_prefixed_path(text: &str, path: &Path, e: &mut Errors) {
    match text.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            e.invalid_in(path, host, names::dns_subdomain(host));
            e.invalid_in(path, rest, names::http_path(rest));
        }
        _ => e.invalid(path, text, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

fn completion_mode(spec: &Node, path: &Path, e: &mut Errors) {
    let Some(mode) = spec.field("completionMode").and_then(Node::as_str) else { return };
    if !matches!(mode, "NonIndexed" | "Indexed") {
        e.unsupported(&path.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
    }
    if mode != "Indexed" {
        return;
    }
    let (completions, parallelism) = (spec.number("completions"), spec.number("parallelism"));
    let max_failed = spec.number("maxFailedIndexes");
    if completions.is_none() {
        e.required(&path.child("completions"), "when completion mode is Indexed");
    }
    if let Some(parallelism) = parallelism.filter(|parallelism| *parallelism > INDEXED_PARALLELISM_MAX) {
        let detail = format!(
            "must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
        );
        e.invalid(&path.child("parallelism"), parallelism, detail);
    }
    let failed_path = path.child("maxFailedIndexes");
    if let (Some(completions), Some(failed)) = (completions, max_failed)
        && failed > completions
    {
        e.invalid(&failed_path, failed, "must be less than or equal to completions");
    }
    if let Some(failed) = max_failed.filter(|failed| *failed > FAILED_INDEXES_MAX) {
        e.invalid(&failed_path, failed, format!("must be less than or equal to {FAILED_INDEXES_MAX}"));
    }
    if completions.is_some_and(|c| c > COMPLETIONS_SOFT_MAX) && spec.field("backoffLimitPerIndex").is_some() {
        if max_failed.is_none() {
            let detail = format!("must be specified when completions is above {COMPLETIONS_SOFT_MAX}");
            e.required(&failed_path, &detail);
        }
        for (value, path) in [(parallelism, path.child("parallelism")), (max_failed, failed_path)] {
            if let Some(value) = value.filter(|value| *value > HIGH_COMPLETIONS_MAX) {
                let detail = format!(
                    "must be less than or equal to {HIGH_COMPLETIONS_MAX} when completions are above \
                     {COMPLETIONS_SOFT_MAX} and used with backoff limit per index"
                );
                e.invalid(&path, value, detail);
            }
        }
    }
}

/// A text that must be there and one of these, with the values in the message of absence.
fn one_of(text: &str, known: &[&str], path: &Path, e: &mut Errors) {
    if text.is_empty() {
        let quoted: Vec<String> = known.iter().map(|value| format!("{value:?}")).collect();
        e.required(path, &format!("valid values: [{}]", quoted.join(" ")));
    } else if !known.contains(&text) {
        e.unsupported(path, text, known);
    }
}

fn failure_policy(spec: &Node, policy: &Node, path: &Path, e: &mut Errors) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    let rules = policy.elements("rules");
    if rules.len() > RULES_MAX {
        e.too_many(path, rules.len(), RULES_MAX);
    }
    let empty = Node::empty();
    let pod = spec.at(&["template", "spec"]).unwrap_or(&empty);
    let containers = [pod.elements("containers"), pod.elements("initContainers")].concat();
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        let action = rule.str("action");
        if action == "FailIndex" {
            if spec.field("backoffLimitPerIndex").is_none() {
                let detail = "requires the backoffLimitPerIndex to be set";
                e.invalid(&path.child("action"), action, detail);
            }
        } else {
            one_of(action, &ACTIONS, &path.child("action"), e);
        }
        let (codes, conditions) = (rule.field("onExitCodes"), rule.elements("onPodConditions"));
        if let Some(codes) = codes {
            exit_codes(codes, &containers, &path.child("onExitCodes"), e);
        }
        pod_conditions(&conditions, &path.child("onPodConditions"), e);
        let omitted = Bad::OMITTED;
        match (codes.is_some(), !conditions.is_empty()) {
            (true, true) => {
                e.invalid(&path, omitted, "specifying both OnExitCodes and OnPodConditions is not supported");
            }
            (false, false) => {
                e.invalid(&path, omitted, "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn pod_conditions(conditions: &[Node], path: &Path, e: &mut Errors) {
    if conditions.len() > RULES_MAX {
        e.too_many(path, conditions.len(), RULES_MAX);
    }
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        must_be_qualified(condition.str("type"), &path.child("type"), e);
        one_of(condition.str("status"), &["False", "True", "Unknown"], &path.child("status"), e);
    }
}

fn exit_codes(codes: &Node, containers: &[Node], path: &Path, e: &mut Errors) {
    let operator = codes.str("operator");
    one_of(operator, &["In", "NotIn"], &path.child("operator"), e);
    if let Some(name) = codes.field("containerName").and_then(Node::as_str)
        && !containers.iter().any(|container| container.str("name") == name)
    {
        let detail = "must be one of the container or initContainer names in the pod template";
        e.invalid(&path.child("containerName"), name, detail);
    }
    let path = path.child("values");
    let printed = || internal_json("[]int32", codes.field("values"));
    let values: Vec<i64> = codes.elements("values").iter().filter_map(Node::as_int).collect();
    if values.is_empty() {
        e.invalid(&path, printed(), "at least one value is required");
    } else if values.len() > EXIT_CODES_MAX {
        e.too_many(&path, values.len(), EXIT_CODES_MAX);
    }
    for (index, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            e.invalid(&path.index(index), *value, "must not be 0 for the In operator");
        }
        if values[..index].contains(value) {
            e.duplicate(&path.index(index), *value);
        }
    }
    if values.windows(2).any(|pair| pair[0] > pair[1]) {
        e.invalid(&path, printed(), "must be ordered");
    }
}

fn success_policy(spec: &Node, policy: &Node, path: &Path, e: &mut Errors) {
    let rules = policy.elements("rules");
    if rules.is_empty() {
        e.required(path, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > RULES_MAX {
        e.too_many(path, rules.len(), RULES_MAX);
    }
    let completions = spec.number("completions").unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        let indexes = rule.field("succeededIndexes").and_then(Node::as_str);
        let count = rule.number("succeededCount");
        if indexes.is_none() && count.is_none() {
            e.required(&path, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(text) = indexes {
            let path = path.child("succeededIndexes");
            if text.len() > SUCCEEDED_INDEXES_MAX {
                e.too_long(&path, SUCCEEDED_INDEXES_MAX);
            }
            match count_indexes(text, completions) {
                Ok(found) => total = found,
                Err(fault) => e.invalid(&path, text, format!("error parsing succeededIndexes: {fault}")),
            }
        }
        let Some(count) = count else { continue };
        non_negative(rule, "succeededCount", &path, e);
        let path = path.child("succeededCount");
        if count > completions {
            let detail =
                format!("must be less than or equal to {completions} (the number of specified completions)");
            e.invalid(&path, count, detail);
        }
        if indexes.is_some() && count > total {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            e.invalid(&path, count, detail);
        }
    }
}

/// How many indexes a text such as `1,3-5` names.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let number = |text: &str, whole: &str| {
        text.parse::<i32>().map(i64::from).map_err(|_| {
            format!("cannot convert string to integer for index: {}", crate::rest::go_value::go_quote(whole))
        })
    };
    let (mut last, mut total) = (None, 0);
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let ends: Vec<&str> = interval.split('-').collect();
        if ends.len() > 2 {
            return Err(format!(
                "the fragment {interval:?} violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        let first = number(ends[0], ends[0])?;
        let end = ends.get(1).map_or(Ok(first), |end| number(end, end))?;
        if first >= completions {
            return Err(format!("too large index: {:?}", ends[0]));
        }
        if ends.len() == 2 && end >= completions {
            return Err(format!("too large index: {:?}", ends[1]));
        }
        if ends.len() == 2 && first >= end {
            return Err(format!("non-increasing order, previous: {first}, current: {end}"));
        }
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

fn replacement_policy(spec: &Node, path: &Path, e: &mut Errors) {
    let Some(policy) = spec.field("podReplacementPolicy").and_then(Node::as_str) else { return };
    if spec.field("podFailurePolicy").is_some() {
        if policy != "Failed" {
            e.unsupported(path, policy, &["Failed"]);
        }
    } else if !matches!(policy, "Failed" | "TerminatingOrFailed") {
        e.unsupported(path, policy, &["Failed", "TerminatingOrFailed"]);
    }
}

/// A Job in another version.
pub(super) fn job_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    let (spec, before) = (spec_of(new), spec_of(old));
    let path = Path::new("spec");
    job_spec(&spec, e);
    let fixed = |key: &str, of: &'static str, e: &mut Errors| {
        immutable_as(of, spec.field(key), before.field(key), &path.child(key), e);
    };
    if !is_indexed(&spec) {
        fixed("completions", "*int32", e);
    } else if let Some(completions) = spec.number("completions")
        && !same(spec.field("completions"), before.field("completions"))
        && Some(completions) != spec.number("parallelism")
    {
        let detail = "can only be modified in tandem with spec.parallelism";
        e.invalid(&path.child("completions"), completions, detail);
    }
    fixed("selector", "*meta/v1.LabelSelector", e);
    template_update(new, old, &path.child("template"), e);
    fixed("completionMode", "*string", e);
    fixed("podFailurePolicy", "*batch.PodFailurePolicy", e);
    fixed("backoffLimitPerIndex", "*int32", e);
    fixed("managedBy", "*string", e);
    fixed("successPolicy", "*batch.SuccessPolicy", e);
}

/// The template may change in where its pods run, and in their resources, while nothing runs.
fn template_update(new: &Node, old: &Node, path: &Path, e: &mut Errors) {
    let template = |object: &Node| spec_of(object).field("template").cloned().unwrap_or_else(Node::empty);
    let (new_template, mut old_template) = (template(new), template(old));
    let suspended = spec_of(old).flag("suspend");
    let started = old.at(&["status", "startTime"]).is_some_and(|time| !time.is_null());
    let active = old.get("status").and_then(|status| status.number("active")).unwrap_or(0);
    let put = |to: &mut Node, from: Option<&Node>, key: &str| match from.and_then(|from| from.field(key)) {
        Some(value) => to.set(key, value.clone()),
        None => drop(to.remove(key)),
    };
    if suspended && !started {
        let metadata = old_template.mapping_mut("metadata");
        for key in ["annotations", "labels"] {
            put(metadata, new_template.get("metadata"), key);
        }
        let spec = old_template.mapping_mut("spec");
        for key in ["nodeSelector", "tolerations", "schedulingGates"] {
            put(spec, new_template.get("spec"), key);
        }
        let new_affinity = new_template.at(&["spec", "affinity"]).filter(|node| !node.is_null());
        let mut affinity = spec.field("affinity").cloned().unwrap_or_else(Node::empty);
        put(&mut affinity, new_affinity, "nodeAffinity");
        match meta::same(Some(&affinity), None) && new_affinity.is_none() {
            true => drop(spec.remove("affinity")),
            false => spec.set("affinity", affinity),
        }
    }
    if suspended && active == 0 {
        for key in ["containers", "initContainers"] {
            let mut new =
                new_template.get("spec").map(|spec| spec.elements(key)).unwrap_or_default().into_iter();
            old_template.mapping_mut("spec").edit_elements(key, |container| {
                let new = new.next();
                put(container, new.as_ref(), "resources");
            });
        }
    }
    let of = "core.PodTemplateSpec";
    let (new, old) = (internal_json(of, Some(&new_template)), internal_json(of, Some(&old_template)));
    if !new.says_the_same_as(&old) {
        e.invalid(path, new, "field is immutable");
    }
}

/// A CronJob that is to be created.
pub(super) fn cron_job(object: &Node, e: &mut Errors) {
    const NAME_MAX: usize = 52;
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    cron_job_spec(&spec_of(object), None, e);
    let name = object.get("metadata").map_or("", |meta| meta.str("name"));
    if name.len() > NAME_MAX {
        e.invalid(&Path::new("metadata.name"), name, format!("must be no more than {NAME_MAX} characters"));
    }
}

/// A CronJob in another version.
pub(super) fn cron_job_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    cron_job_spec(&spec_of(new), Some(&spec_of(old)), e);
}

fn cron_job_spec(spec: &Node, old: Option<&Node>, e: &mut Errors) {
    let path = Path::new("spec");
    let (schedule, at) = (spec.str("schedule"), path.child("schedule"));
    let zone_was_in_schedule = old.is_some_and(|old| old.str("schedule").contains("TZ"));
    if schedule.is_empty() {
        e.required(&at, "");
    } else {
        if let Some(fault) = cron::fault(schedule) {
            e.invalid(&at, schedule, fault);
        }
        if schedule.contains("TZ") && !zone_was_in_schedule {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            e.invalid(&at, schedule, detail);
        } else if schedule.contains("TZ") && spec.field("timeZone").is_some() {
            e.invalid(&at, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        }
    }
    non_negative(spec, "startingDeadlineSeconds", &path, e);
    if old.is_none_or(|old| old.str("timeZone") != spec.str("timeZone")) {
        time_zone(spec, &path.child("timeZone"), e);
    }
    let policies = ["Allow", "Forbid", "Replace"];
    super::container::one_of(spec.str("concurrencyPolicy"), &policies, &path.child("concurrencyPolicy"), e);
    let empty = Node::empty();
    let template = spec.at(&["jobTemplate", "spec"]).filter(|spec| !spec.is_null()).unwrap_or(&empty);
    let at = path.child("jobTemplate").child("spec");
    job_fields(template, &at, e);
    if let Some(selector) = template.field("selector") {
        let detail = "`selector` will be auto-generated";
        e.invalid(&at.child("selector"), printed_selector(Some(selector)), detail);
    }
    if template.flag("manualSelector") {
        e.unsupported(&at.child("manualSelector"), true, &["nil", "false"]);
    }
    non_negative(spec, "successfulJobsHistoryLimit", &path, e);
    non_negative(spec, "failedJobsHistoryLimit", &path, e);
}

fn time_zone(spec: &Node, path: &Path, e: &mut Errors) {
    let Some(zone) = spec.field("timeZone").and_then(Node::as_str) else { return };
    let is_part = |part: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_');
        !part.is_empty() && part != "." && part != ".." && !part.starts_with('-') && part.bytes().all(inner)
    };
    let is_known = || TimeZone::named(zone).is_some_and(|found| found.name() == zone);
    if zone.is_empty() {
        e.invalid(path, zone, "timeZone must be nil or non-empty string");
        return;
    }
    if zone.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        e.invalid(path, zone, detail);
    }
    if zone != "Local" && (!zone.split('/').all(is_part) || !is_known()) {
        e.invalid(path, zone, format!("unknown time zone {zone}"));
    }
}
