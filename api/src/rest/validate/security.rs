//! Security contexts of pods and containers (`pkg/apis/core/validation/validation.go`).

use super::meta::must_be_qualified;
use super::names;
use super::volume::local_descending_path;
use crate::document::Node;
use crate::rest::errors::{Errors, Path};
use crate::schema::internal_json;

fn ids(context: &Node, keys: &[&str], path: &Path, e: &mut Errors) {
    for key in keys {
        if let Some(number) = context.number(key) {
            for fault in names::id_number(number) {
                e.invalid(&path.child(key), number, fault);
            }
        }
    }
}

/// The security context of a container.
pub(super) fn of_container(container: &Node, host_users: bool, path: &Path, e: &mut Errors) {
    let Some(context) = container.field("securityContext") else { return };
    ids(context, &["runAsUser", "runAsGroup"], path, e);
    if let Some(mount) = context.field("procMount").and_then(Node::as_str) {
        if !matches!(mount, "Default" | "Unmasked") {
            e.unsupported(&path.child("procMount"), mount, &["Default", "Unmasked"]);
        }
        if host_users && mount == "Unmasked" {
            e.invalid(&path.child("procMount"), mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(context, path, e);
    let privileged = context.flag("privileged");
    if context.field("allowPrivilegeEscalation").and_then(Node::as_bool) == Some(false) {
        let printed = || internal_json("core.SecurityContext", Some(context));
        if privileged {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            e.invalid(path, printed(), detail);
        }
        let added = context.get("capabilities").map(|found| found.elements("add")).unwrap_or_default();
        for _ in added.iter().filter(|capability| capability.as_str() == Some("CAP_SYS_ADMIN")) {
            let detail =
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            e.invalid(path, printed(), detail);
        }
    }
    app_armor(context, path, e);
}

/// The security context of a pod.
pub(super) fn of_pod(spec: &Node, path: &Path, e: &mut Errors) {
    let Some(context) = spec.field("securityContext") else { return };
    ids(context, &["fsGroup", "runAsUser", "runAsGroup"], path, e);
    for (index, group) in context.elements("supplementalGroups").iter().enumerate() {
        let number = group.as_int().unwrap_or(0);
        for fault in names::id_number(number) {
            e.invalid(&path.child("supplementalGroups").index(index), number, fault);
        }
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        e.invalid(&path.child("shareProcessNamespace"), true, detail);
    }
    sysctls(spec, context, &path.child("sysctls"), e);
    let known_or = |key: &str, known: &[&str], e: &mut Errors| {
        if let Some(found) = context.field(key).and_then(Node::as_str).filter(|found| !known.contains(found))
        {
            e.unsupported(&path.child(key), found, known);
        }
    };
    known_or("fsGroupChangePolicy", &["Always", "OnRootMismatch"], e);
    seccomp(context, path, e);
    app_armor(context, path, e);
    known_or("supplementalGroupsPolicy", &["Merge", "Strict"], e);
    known_or("seLinuxChangePolicy", &["MountOption", "Recursive"], e);
}

fn sysctls(spec: &Node, context: &Node, path: &Path, e: &mut Errors) {
    const FORM: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let is_form = |name: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        name.len() <= names::SUBDOMAIN_MAX
            && name.split(['.', '/']).all(|part| {
                edge(part.as_bytes().first()) && edge(part.as_bytes().last()) && part.bytes().all(inner)
            })
    };
    let mut seen: Vec<String> = Vec::new();
    for (index, sysctl) in context.elements("sysctls").iter().enumerate() {
        let path = path.index(index).child("name");
        let name = sysctl.str("name");
        if name.is_empty() {
            e.required(&path, "");
        } else if !is_form(name) {
            let detail =
                format!("must have at most {} characters and match regex {FORM}", names::SUBDOMAIN_MAX);
            e.invalid(&path, name, detail);
        } else if seen.iter().any(|other| other == name) {
            e.duplicate(&path, name);
        }
        let dotted = name.replace('/', ".");
        let of_ipc =
            ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."].iter().any(|p| dotted.starts_with(p));
        if spec.flag("hostNetwork") && dotted.starts_with("net.") {
            e.invalid(&path, name, "may not be specified when 'hostNetwork' is true");
        } else if spec.flag("hostIPC") && of_ipc {
            e.invalid(&path, name, "may not be specified when 'hostIPC' is true");
        }
        seen.push(name.to_owned());
    }
}

fn seccomp(context: &Node, path: &Path, e: &mut Errors) {
    const KNOWN: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
    let Some(profile) = context.field("seccompProfile") else { return };
    let path = path.child("seccompProfile");
    let kind = profile.str("type");
    if kind.is_empty() {
        e.required(&path.child("type"), "type is required when seccompProfile is set");
    } else if !KNOWN.contains(&kind) {
        e.unsupported(&path.child("type"), kind, &KNOWN);
    }
    let file = profile.field("localhostProfile").and_then(Node::as_str);
    let path = path.child("localhostProfile");
    match (kind == "Localhost", file) {
        (true, None) => e.required(&path, "must be set when seccomp type is Localhost"),
        (true, Some(file)) => local_descending_path(file, &path, e),
        (false, Some(_)) => {
            let printed = internal_json("core.SeccompProfile", Some(profile));
            e.invalid(&path, printed, "can only be set when seccomp type is Localhost");
        }
        (false, None) => {}
    }
}

fn app_armor(context: &Node, path: &Path, e: &mut Errors) {
    const KNOWN: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
    const PROFILE_MAX: usize = 4_095;
    let Some(profile) = context.field("appArmorProfile") else { return };
    let path = path.child("appArmorProfile");
    let kind = profile.str("type");
    let file = profile.field("localhostProfile").and_then(Node::as_str);
    let file_path = path.child("localhostProfile");
    match (kind, file) {
        ("Localhost", None) => e.required(&file_path, "must be set when AppArmor type is Localhost"),
        ("Localhost", Some(file)) => {
            let trimmed = file.trim();
            if trimmed != file {
                e.invalid(&file_path, file, "must not be padded with whitespace");
            } else if trimmed.is_empty() {
                e.required(&file_path, "must be set when AppArmor type is Localhost");
            }
            if file.len() > PROFILE_MAX {
                e.too_long(&file_path, PROFILE_MAX);
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            e.invalid(&file_path, file, "can only be set when AppArmor type is Localhost");
        }
        ("", _) => e.required(&path.child("type"), "type is required when appArmorProfile is set"),
        (other, _) if !KNOWN.contains(&other) => e.unsupported(&path.child("type"), other, &KNOWN),
        _ => {}
    }
}

/// What may not be set for pods of another operating system, and that it is one that there is.
pub(super) fn operating_system(spec: &Node, path: &Path, e: &mut Errors) {
    let Some(os) = spec.field("os") else { return };
    match os.str("name") {
        "" => e.required(&path.child("os").child("name"), ""),
        "linux" => {
            if let Some(context) = spec.field("securityContext")
                && context.field("windowsOptions").is_some()
            {
                let path = path.child("securityContext").child("windowsOptions");
                e.forbidden(&path, "windows options cannot be set for a linux pod");
            }
        }
        "windows" => windows(spec, path, e),
        other => e.unsupported(&path.child("os"), other, &["linux", "windows"]),
    }
}

fn windows(spec: &Node, path: &Path, e: &mut Errors) {
    let text = "cannot be set for a windows pod";
    let Some(context) = spec.field("securityContext") else { return };
    let security = path.child("securityContext");
    let inside = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
    ];
    for key in inside.iter().filter(|key| context.field(key).is_some()) {
        e.forbidden(&security.child(key), text);
    }
    for key in ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"] {
        if spec.flag(key) {
            e.forbidden(&path.child(key), text);
        }
    }
}

/// The annotation by which a controller learns what a pod's deletion costs.
pub(super) fn deletion_cost(meta: &Node, path: &Path, e: &mut Errors) {
    const KEY: &str = "controller.kubernetes.io/pod-deletion-cost";
    let Some(value) = meta.get("annotations").and_then(|found| found.get(KEY)).and_then(Node::as_str) else {
        return;
    };
    let first = value.bytes().next();
    let well_begun = first == Some(b'-') || value == "0" || first.is_some_and(|b| (b'1'..=b'9').contains(&b));
    if !well_begun || value.parse::<i32>().is_err() {
        e.invalid(&path.key(KEY), value, "must be a 32bit integer");
    }
}

/// A text that must be the type of a condition.
pub(super) fn condition_type(text: &str, path: &Path, e: &mut Errors) {
    must_be_qualified(text, path, e);
}
