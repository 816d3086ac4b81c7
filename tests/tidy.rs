//! Rules of the repository that no compiler checks: sizes, leftovers, links, and that every
//! approximation of the model is told in docs/fidelity.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Lines that a file of Rust may have.
const LINES_MAX: usize = 1_000;

/// What marks unfinished work, in two halves, so that this file does not contain it.
const LEFTOVERS: [(&str, &str); 6] =
    [("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("#[ig", "nore"), ("FIX", "ME"), ("XX", "X")];

/// Folders of one machine, which mean nothing on another.
const MACHINE_PATHS: [(&str, &str); 5] =
    [("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/wo", "rk/"), ("/mn", "t/")];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the repository, as paths relative to its root, in order: everything but what is
/// built, and hidden folders other than `.ci`.
fn files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_ours = name == ".ci" || !name.starts_with('.') && name != "target" && name != "results";
            if path.is_dir() && is_ours {
                walk(&path, found);
            } else if path.is_file() && name != ".git" {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(repository(), &mut found);
    found.sort();
    found.iter().map(|path| path.strip_prefix(repository()).expect("it is inside").to_owned()).collect()
}

/// The files that are text, with their content.
fn texts() -> impl Iterator<Item = (PathBuf, String)> {
    files().into_iter().filter_map(|path| {
        let text = fs::read_to_string(repository().join(&path)).ok()?;
        Some((path, text))
    })
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Fails with all places at which a rule is broken.
fn report(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Numbers of the lines in which `wanted` finds something, with what it found.
fn lines_with<T>(text: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> Vec<(usize, T)> {
    text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, wanted(line)?))).collect()
}

/// Whether `line` contains `word` with no letter or digit next to it.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let bare = |edge: char, next: Option<char>| {
            !edge.is_alphanumeric() || !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
        };
        bare(word.chars().next().unwrap_or(' '), before)
            && bare(word.chars().next_back().unwrap_or(' '), after)
    })
}

/// The mark of unfinished work in a line.
fn leftover(line: &str) -> Option<String> {
    let mark = LEFTOVERS.iter().map(|(one, two)| format!("{one}{two}")).find(|mark| has_word(line, mark));
    let promise = concat!("TO", "DO");
    let numbered = || line.contains(&format!("{promise}(#"));
    mark.or_else(|| (has_word(line, promise) && !numbered()).then(|| format!("{promise} without (#number)")))
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold_in_mind() {
    let rust = texts().filter(|(path, _)| is(path, "rs"));
    let long = rust.map(|(path, text)| (path, text.lines().count())).filter(|(_, lines)| *lines > LINES_MAX);
    report(
        &format!("files of more than {LINES_MAX} lines"),
        long.map(|(path, lines)| format!("{}: {lines}", path.display())).collect(),
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let broken = texts().flat_map(|(path, text)| {
        let found = lines_with(&text, leftover).into_iter();
        found.map(move |(line, mark)| format!("{}:{line}: {mark}", path.display())).collect::<Vec<_>>()
    });
    report("leftovers", broken.collect());
}

#[test]
fn no_path_of_one_machine_is_named() {
    let broken = texts().flat_map(|(path, text)| {
        let named = |line: &str| {
            MACHINE_PATHS.iter().map(|(one, two)| format!("{one}{two}")).find(|folder| has_word(line, folder))
        };
        let found = lines_with(&text, named).into_iter();
        found.map(move |(line, folder)| format!("{}:{line}: {folder}", path.display())).collect::<Vec<_>>()
    });
    report("paths of a machine", broken.collect());
}

#[test]
fn text_files_end_with_one_newline() {
    let ours = |path: &Path| ["rs", "md", "toml"].iter().any(|extension| is(path, extension));
    let broken =
        texts().filter(|(path, text)| ours(path) && (!text.ends_with('\n') || text.ends_with("\n\n")));
    report(
        "files that do not end with one newline",
        broken.map(|(path, _)| path.display().to_string()).collect(),
    );
}

/// The targets of a page's links, code left out.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let prose = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
            found.extend(
                prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned),
            );
        }
    }
    found
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Removes `.` and resolves `..` in a relative path.
fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            part => result.push(part),
        }
    }
    result
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, page) in texts().filter(|(path, _)| is(path, "md")) {
        for link in links(&page).iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => normal(&path.parent().unwrap_or(Path::new("")).join(file)),
            };
            let place = repository().join(&target);
            let is_there = place.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&place).is_ok_and(|page| anchors(&page).contains(anchor)));
            if !is_there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    report("links that lead nowhere", broken);
}

#[test]
fn the_gate_runs_the_tests_by_the_command_that_readme_gives() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("README.md can be read");
    let block = readme.split("Run all tests").nth(1).and_then(|rest| rest.split("```sh\n").nth(1));
    assert_eq!(block.and_then(|block| block.split("```").next()), Some("cargo test --workspace\n"));
    let gate = fs::read_to_string(repository().join(".ci/run")).expect(".ci/run can be read");
    for step in ["/Run all tests/", "README.md)", "\nbash -euo pipefail -c \"$tests\"\n"] {
        assert!(gate.contains(step), ".ci/run takes the command from README.md and runs it: {step}");
    }
}

/// Whether a line of Rust is a comment that states an approximation.
fn states_approximation(line: &str) -> bool {
    let comment = line.trim_start();
    comment.starts_with("//") && comment.contains("Model: ")
}

#[test]
fn every_approximation_is_told_in_the_page_on_fidelity() {
    let page =
        fs::read_to_string(repository().join("docs/fidelity.md")).expect("docs/fidelity.md can be read");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split('`').next()).filter(|name| name.ends_with(".rs"));
    let named: BTreeSet<PathBuf> = names.map(PathBuf::from).collect();
    let stating: BTreeSet<PathBuf> = texts()
        .filter(|(path, text)| {
            is(path, "rs") && path != Path::new("tests/tidy.rs") && text.lines().any(states_approximation)
        })
        .map(|(path, _)| path)
        .collect();
    let show = |paths: BTreeSet<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect();
    report(
        "files with a `Model:` comment that docs/fidelity.md does not name",
        show(stating.difference(&named).cloned().collect()),
    );
    report(
        "files that docs/fidelity.md names and that state no approximation",
        show(named.difference(&stating).cloned().collect()),
    );
}

#[test]
fn the_rules_find_what_they_are_for() {
    let todo = concat!("TO", "DO");
    for (line, expected) in [
        (format!("    {}!()", concat!("to", "do")), true),
        (format!("// {}: later", concat!("FIX", "ME")), true),
        (format!("// {todo}: later"), true),
        (format!("// {todo}(#12): later"), false),
        (format!("an escape \\u{}X", concat!("XX", "X")), false),
        (format!("method{todo}s"), false),
    ] {
        assert_eq!(leftover(&line).is_some(), expected, "{line}");
    }
    assert!(has_word("in /tmp/x", "/tmp/") && !has_word("a/tmpfile", "/tmp/"));
    assert_eq!(links("see [a](b.md#c) and `[d](e)`\n```\n[f](g)\n```\n[h](i)"), ["b.md#c", "i"]);
    assert_eq!(
        anchors("# One\n## Who may import whom?"),
        ["one", "who-may-import-whom"].map(str::to_owned).into()
    );
    assert_eq!(normal(Path::new("docs/../a/./b.md")), Path::new("a/b.md"));
    assert!(
        states_approximation("    /// Model: none") && !states_approximation("latency: LatencyModel::zero()")
    );
}
