//! `seatrial policy`.

use seatrial_scheduler::policies::{self, POLICIES, Policy};

use crate::cli::PolicyCommand;
use crate::{CommandResult, Outcome, Refusal};

/// How many characters a line has.
const LINE: usize = 100;
/// How far the texts about a policy are indented.
const INDENT: usize = 12;

/// Lists the policies, or says what one does.
pub(crate) fn policy(command: &PolicyCommand) -> CommandResult {
    match command {
        PolicyCommand::List => list(),
        PolicyCommand::Show { name } => {
            let policy = policies::find(name).ok_or_else(|| {
                let known: Vec<&str> = policies::names().collect();
                Refusal(format!("there is no policy {name}: expected one of {}", known.join(", ")))
            })?;
            print!("{}", described(policy));
        }
    }
    Ok(Outcome::Passed)
}

fn list() {
    let width = policies::names().map(str::len).max().unwrap_or(0);
    for policy in POLICIES {
        let first = policy.about.split_inclusive(". ").next().unwrap_or(policy.about);
        println!("{:<width$}  {}", policy.name, first.trim_end());
    }
}

/// Everything that there is to know about a policy.
fn described(policy: &Policy) -> String {
    let mut text = format!("{}\n\n", policy.name);
    for (title, content) in [("What", policy.about), ("Formula", policy.formula), ("Source", policy.source)] {
        text.push_str(&paragraph(title, content));
    }
    if policy.parameters.is_empty() {
        text.push_str(&paragraph("Parameters", "none"));
    }
    for (index, parameter) in policy.parameters.iter().enumerate() {
        let title = if index == 0 { "Parameters" } else { "" };
        let content = format!("{} (default: {}): {}", parameter.name, parameter.default, parameter.about);
        text.push_str(&paragraph(title, &content));
    }
    text
}

/// A text beside its title, broken into lines.
fn paragraph(title: &str, content: &str) -> String {
    let mut text = format!("{title:<INDENT$}");
    let mut length = INDENT;
    for (index, word) in content.split_whitespace().enumerate() {
        let letters = word.chars().count();
        if index > 0 && length + 1 + letters > LINE {
            text.push_str(&format!("\n{:INDENT$}", ""));
            length = INDENT;
        } else if index > 0 {
            text.push(' ');
            length += 1;
        }
        text.push_str(word);
        length += letters;
    }
    text.push('\n');
    text
}
