//! The `seatrial` program: the command line, and the few lines that join it to the libraries.
//!
//! Answers go to stdout, progress and messages to stderr. Exit codes: 0 passed, 1 an expectation
//! or a comparison failed, 2 bad input.

mod cli;
mod commands;
mod extender;
mod files;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// How a command ended.
pub(crate) enum Outcome {
    /// Everything is as it should be.
    Passed,
    /// An expectation or a comparison failed.
    Failed,
}

/// Why a command could not do its work: a message for stderr, exit code 2.
pub(crate) struct Refusal(pub(crate) String);

impl<T: std::fmt::Display> From<T> for Refusal {
    fn from(reason: T) -> Refusal {
        Refusal(reason.to_string())
    }
}

/// What every command returns.
pub(crate) type CommandResult = Result<Outcome, Refusal>;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Test(arguments) => commands::test::test(&arguments),
        Command::Explain(arguments) => commands::explain::explain(&arguments),
        Command::Diff(arguments) => commands::diff::diff(&arguments),
        Command::Sweep(arguments) => commands::sweep::sweep(&arguments),
        Command::Compare(arguments) => commands::compare::compare(&arguments),
        Command::Policy(command) => commands::policy::policy(&command),
        Command::Schedule(arguments) => commands::schedule::schedule(&arguments),
        Command::Parity(arguments) => commands::parity::parity(&arguments),
        Command::Schema => commands::schema::schema(),
        Command::Inflate(arguments) => commands::inflate::inflate(&arguments),
        Command::Bench(arguments) => commands::bench::bench(&arguments),
    };
    match result {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(Refusal(message)) => {
            eprintln!("{}", message.trim_end());
            ExitCode::from(2)
        }
    }
}
