//! What somebody who mistyped a name probably meant.

/// The candidate closest to `name`, if one is close enough to have been meant.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let farthest = (name.chars().count() / 3).clamp(1, 3);
    let ranked = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate));
    ranked.filter(|&(distance, _)| distance <= farthest).min().map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, dropped, replaced or swapped with their neighbour; upper and
/// lower case are the same. Texts of more than 64 letters are far from everything.
fn distance(a: &str, b: &str) -> usize {
    let letters =
        |text: &str| text.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let (mut before, mut last) = (vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>());
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        (before, last) = (last, row);
    }
    last[b.len()]
}

const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_find_what_was_meant() {
        let fields = ["capacity", "count", "name", "zones", "taints", "machineType"];
        for (typed, meant) in [
            ("capcity", Some("capacity")),
            ("cuont", Some("count")),
            ("zone", Some("zones")),
            ("machinetype", Some("machineType")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, fields), meant, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(1000), fields), None);
    }
}
