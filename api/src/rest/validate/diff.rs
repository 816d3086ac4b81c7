//! The difference of two values as upstream's messages show it: a unified diff of indented JSON
//! (`staging/src/k8s.io/apimachinery/pkg/util/diff/diff.go`).

use crate::document::Node;
use crate::schema::pretty_json;

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// Above so many pairs of lines that might match, the middle is shown as replaced whole.
const PAIRS_MAX: usize = 4_000_000;

/// The hunks in which `new` differs from `old`.
pub(super) fn diff_of(old: &Node, new: &Node) -> String {
    let (old, new) = (pretty_json(old), pretty_json(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    hunks(&old, &new, &matches(&old, &new))
}

/// Pairs of lines that both have, in order: a longest common subsequence.
fn matches(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let head = old.iter().zip(new).take_while(|(one, two)| one == two).count();
    let rest = (old.len() - head).min(new.len() - head);
    let tail = (0..rest).take_while(|&i| old[old.len() - 1 - i] == new[new.len() - 1 - i]).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut pairs: Vec<(usize, usize)> = (0..head).map(|i| (i, i)).collect();
    if a.len().saturating_mul(b.len()) <= PAIRS_MAX {
        pairs.extend(middle(a, b).into_iter().map(|(i, j)| (head + i, head + j)));
    }
    pairs.extend((0..tail).rev().map(|i| (old.len() - 1 - i, new.len() - 1 - i)));
    pairs
}

fn middle(a: &[&str], b: &[&str]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut length = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            length[i * width + j] = if a[i] == b[j] {
                length[(i + 1) * width + j + 1] + 1
            } else {
                length[(i + 1) * width + j].max(length[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            out.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if length[(i + 1) * width + j] >= length[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// A line of the whole comparison: what it is, its text, and where it stands in both.
struct Line<'a> {
    mark: char,
    text: &'a str,
    old: usize,
    new: usize,
}

fn hunks(old: &[&str], new: &[&str], pairs: &[(usize, usize)]) -> String {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let (mut i, mut j) = (0, 0);
    for &(at_old, at_new) in pairs.iter().chain([&(old.len(), new.len())]) {
        lines.extend((i..at_old).map(|k| Line { mark: '-', text: old[k], old: k, new: j }));
        lines.extend((j..at_new).map(|k| Line { mark: '+', text: new[k], old: at_old, new: k }));
        if at_old < old.len() {
            lines.push(Line { mark: ' ', text: old[at_old], old: at_old, new: at_new });
        }
        (i, j) = (at_old + 1, at_new + 1);
    }
    let changed: Vec<usize> = (0..lines.len()).filter(|&k| lines[k].mark != ' ').collect();
    let mut out = String::new();
    let mut next = 0;
    while next < changed.len() {
        let start = changed[next].saturating_sub(CONTEXT);
        let mut last = next;
        while last + 1 < changed.len() && changed[last + 1] - changed[last] <= 2 * CONTEXT + 1 {
            last += 1;
        }
        let end = (changed[last] + CONTEXT + 1).min(lines.len());
        write_hunk(&lines[start..end], &mut out);
        next = last + 1;
    }
    out
}

fn write_hunk(lines: &[Line<'_>], out: &mut String) {
    let Some(first) = lines.first() else { return };
    let count = |mark: char| lines.iter().filter(|line| line.mark != mark).count();
    out.push_str(&format!("@@ -{} +{} @@\n", range(first.old, count('+')), range(first.new, count('-'))));
    for line in lines {
        out.push(line.mark);
        out.push_str(line.text);
        out.push('\n');
    }
}

/// Where a hunk stands: its first line from 1, and how many.
fn range(start: usize, length: usize) -> String {
    match length {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Node {
        Node::list(texts.iter().map(|text| Node::text(*text)))
    }

    #[test]
    fn a_change_is_shown_with_three_lines_around_it() {
        let old = lines(&["a", "b", "c", "d", "e", "f"]);
        let new = lines(&["a", "b", "c", "x", "e", "f"]);
        assert_eq!(
            diff_of(&old, &new),
            "@@ -2,7 +2,7 @@\n  \"a\",\n  \"b\",\n  \"c\",\n- \"d\",\n+ \"x\",\n  \"e\",\n  \"f\"\n ]\n"
        );
        assert_eq!(diff_of(&old, &old), "");
    }
}
