//! The engine of the mutation tests: a corpus, mutations of bytes and of lines, a time box.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The crate whose reader is tested: other crates include this file.
const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// Runs `check` on the corpus `name` and on mutations of it until the time is up. `test` is the
/// name of the test, for the command that replays a failure.
pub(crate) fn fuzz(name: &str, test: &str, check: impl Fn(&[u8])) {
    let corpus = corpus(name);
    for input in &corpus {
        attempt(input, &check, || format!("cargo test -p {PACKAGE} --test fuzz {test}"));
    }
    let seed = number_from_env("SEATRIAL_FUZZ_SEED").unwrap_or(1);
    let seconds = number_from_env("SEATRIAL_FUZZ_SECONDS").unwrap_or(2);
    let only = number_from_env("SEATRIAL_FUZZ_CASE");
    let start = Instant::now();
    let mut case = only.unwrap_or(0);
    while only.is_some() || start.elapsed() < Duration::from_secs(seconds) {
        let input = mutated(&corpus, Random::new(seed, case));
        attempt(&input, &check, || {
            format!(
                "SEATRIAL_FUZZ_SEED={seed} SEATRIAL_FUZZ_CASE={case} cargo test -p {PACKAGE} --test fuzz {test}"
            )
        });
        if only.is_some() {
            return;
        }
        case += 1;
    }
}

fn attempt(input: &[u8], check: &impl Fn(&[u8]), replay: impl Fn() -> String) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(input))) {
        eprintln!("input: \"{}\"", input.escape_ascii());
        eprintln!("replay: {}", replay());
        std::panic::resume_unwind(panic);
    }
}

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let entries = std::fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "an empty corpus tests nothing");
    paths.iter().map(|path| std::fs::read(path).expect("a readable file")).collect()
}

/// SplitMix64: every case of a seed has a stream of its own.
struct Random(u64);

impl Random {
    fn new(seed: u64, case: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Random(random.next() ^ case.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, or 0.
    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// Pieces that mean something to one of the readers.
const TOKENS: &[&[u8]] = &[
    b"---\n",
    b"...\n",
    b"\n",
    b"\r\n",
    b"\t",
    b"  ",
    b"- ",
    b"? ",
    b": ",
    b":",
    b",",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"{a: {a: {a: ",
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"!!str ",
    b"!!int ",
    b"!!binary ",
    b"! ",
    b"!e!x ",
    b"|\n",
    b">-\n",
    b"'",
    b"\"",
    b"\\",
    b"\\u00e9",
    b"\\ud83d",
    b"#",
    b" # x\n",
    b"%YAML 1.1\n",
    b"~",
    b"null",
    b"yes",
    b".inf",
    b".nan",
    b"0644",
    b"0x",
    b"0b1",
    b"1e999",
    b"-0",
    b"1_0",
    b"9223372036854775808",
    b"-1",
    b"0",
    b"items:\n",
    b"\"items\": [",
    b"kind: List\n",
    b"kind: ",
    b"Ki",
    b"E",
    b"e-9",
    b".",
    b"+",
    b"h",
    b"ms",
    b"w",
    b"T",
    b"Z",
    b"+05:30",
    b"2030-02-30",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\0",
    b"\x0b",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
];

fn mutated(corpus: &[Vec<u8>], mut random: Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..1 + random.below(6) {
        match random.below(3) {
            0 => mutate_bytes(&mut input, &mut random),
            1 => mutate_lines(&mut input, &mut random),
            _ => {
                let other = &corpus[random.below(corpus.len())];
                splice(&mut input, other, &mut random);
            }
        }
        input.truncate(20_000);
    }
    input
}

fn mutate_bytes(input: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(12)).min(input.len());
    match random.below(6) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.next() as u8,
        2 => drop(input.drain(at..end)),
        3 => {
            let piece = input[at..end].to_vec();
            for _ in 0..random.below(40) {
                input.splice(at..at, piece.iter().copied());
            }
        }
        4 => input.truncate(at),
        _ => drop(input.splice(at..at, random.pick(TOKENS).iter().copied())),
    }
}

fn mutate_lines(input: &mut Vec<u8>, random: &mut Random) {
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return;
    }
    let (at, other) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(6) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(other, lines[at].clone()),
        2 => lines.swap(at, other),
        3 => drop(lines[at].splice(0..0, b"  ".iter().copied())),
        4 => {
            let indent = lines[at].iter().take_while(|&&byte| byte == b' ').count();
            lines[at].drain(..indent.min(2));
        }
        _ => {
            // The value of one line behind the key of another.
            let value = lines[other]
                .iter()
                .position(|&byte| byte == b':')
                .map(|colon| lines[other][colon..].to_vec());
            let key = lines[at].iter().position(|&byte| byte == b':');
            if let (Some(value), Some(key)) = (value, key) {
                lines[at].truncate(key);
                lines[at].extend(value);
            }
        }
    }
    *input = lines.concat();
}

fn splice(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let from = random.below(other.len() + 1);
    let to = from + random.below(other.len() - from + 1).min(400);
    let at = random.below(input.len() + 1);
    input.splice(at..at, other[from..to].iter().copied());
}
