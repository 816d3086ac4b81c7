//! Progress on stderr, of a run and of many, for whatever takes longer than two seconds.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// After which time progress is shown at all.
const PATIENCE: Duration = Duration::from_secs(2);
/// From one line to the next.
const REFRESH: Duration = Duration::from_millis(500);
/// From one line to the next where stderr is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(15);
/// How many steps pass between two looks at the clock.
const STEPS_PER_LOOK: u32 = 4_096;

/// A line on stderr that tells how far a run is. Nothing is printed where stderr is no terminal.
pub(crate) struct Progress {
    began: Instant,
    shown: Option<Instant>,
    steps: u32,
    terminal: bool,
}

impl Progress {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Progress {
        Progress { began: Instant::now(), shown: None, steps: 0, terminal: std::io::stderr().is_terminal() }
    }

    /// One step more. Every now and then the line is brought up to date: how much is done (0 to 1),
    /// and what `describe` says.
    pub(crate) fn step(&mut self, done: impl Fn() -> f64, describe: impl Fn(Duration) -> String) {
        self.steps += 1;
        if !self.terminal || self.steps < STEPS_PER_LOOK {
            return;
        }
        self.steps = 0;
        let now = Instant::now();
        let elapsed = now - self.began;
        if elapsed < PATIENCE || self.shown.is_some_and(|shown| now - shown < REFRESH) {
            return;
        }
        self.shown = Some(now);
        let done = done().clamp(1e-6, 1.0);
        let left = elapsed.as_secs_f64() * (1.0 - done) / done;
        eprint!("\r\x1b[K{:3.0} %  {}  about {left:.0} s left", done * 100.0, describe(elapsed));
        // A terminal that takes no more progress is no reason to stop.
        let _ = std::io::stderr().flush();
    }

    /// The work is done: the line goes.
    pub(crate) fn finish(&self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}

/// A line on stderr that tells how many of many runs are done.
pub(crate) struct RunProgress {
    began: Instant,
    shown: Option<Instant>,
    done: usize,
    runs: usize,
    terminal: bool,
}

impl RunProgress {
    /// None of `runs` runs is done.
    pub(crate) fn new(runs: usize) -> RunProgress {
        let terminal = std::io::stderr().is_terminal();
        RunProgress { began: Instant::now(), shown: None, done: 0, runs, terminal }
    }

    /// One run more is done.
    pub(crate) fn done(&mut self) {
        self.done += 1;
        let now = Instant::now();
        let elapsed = now - self.began;
        // A log gets a line now and then, a terminal one that is brought up to date.
        let refresh = if self.terminal { REFRESH } else { LOG_EVERY };
        if elapsed < PATIENCE || self.shown.map_or(self.began, |shown| shown) + refresh > now {
            return;
        }
        self.shown = Some(now);
        let left = elapsed.as_secs_f64() / self.done as f64 * (self.runs - self.done) as f64;
        let line = format!("{} of {} runs  about {left:.0} s left", self.done, self.runs);
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            // A terminal that takes no more progress is no reason to stop.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    /// The work is done: the line goes.
    pub(crate) fn finish(&self) {
        if self.terminal && self.shown.is_some() {
            eprint!("\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}
