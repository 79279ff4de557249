//! What is typed: a question, or a command that begins with a slash.

use std::path::PathBuf;

use synod_aggregator::topology::nearest;

use crate::exit::{ExitCode, Failure};

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Nothing but white space.
    Nothing,
    /// To be asked.
    Question(String),
    /// To be done.
    Command(Command),
}

/// See [`COMMANDS`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Topology(Option<String>),
    Drafts,
    Retry,
    Undo,
    Clear,
    Save(PathBuf),
    Seed(Seed),
    Quit,
}

/// What is to become of the seed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seed {
    /// It is shown.
    Show,
    /// It is the same for all answers.
    Fix(u64),
    /// Each answer has one of its own.
    Draw,
}

/// A command as `/help` shows it.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) argument: &'static str,
    pub(super) help: &'static str,
}

/// All of them, in the order of `/help`.
pub(super) const COMMANDS: [Entry; 9] = [
    Entry { name: "/help", argument: "", help: "this list" },
    Entry { name: "/topology", argument: "[NAME]", help: "list the topologies, or use another" },
    Entry { name: "/drafts", argument: "", help: "the drafts of the last answer" },
    Entry { name: "/retry", argument: "", help: "ask the last question again" },
    Entry { name: "/undo", argument: "", help: "take back the last question and its answer" },
    Entry { name: "/clear", argument: "", help: "begin a new conversation" },
    Entry { name: "/save", argument: "FILE", help: "write the conversation: .md for Markdown, else JSON lines" },
    Entry { name: "/seed", argument: "[N|off]", help: "show the seed, set it, or draw one for each answer" },
    Entry { name: "/quit", argument: "", help: "leave" },
];

/// What a line says.
///
/// # Errors
/// It begins with a slash and is no command, or not one with such an argument.
pub(super) fn parse(line: &str) -> Result<Typed, Failure> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Typed::Nothing);
    }
    if !line.starts_with('/') {
        return Ok(Typed::Question(line.to_owned()));
    }
    if let Some(escaped) = line.strip_prefix("//") {
        return Ok(Typed::Question(format!("/{escaped}")));
    }
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let entry = COMMANDS.iter().find(|entry| entry.name == name).ok_or_else(|| unknown(name))?;
    command(entry, argument.trim()).map(Typed::Command)
}

fn command(entry: &Entry, argument: &str) -> Result<Command, Failure> {
    let wrong = || usage(format!("usage: {}", entry.usage()));
    let given = Some(argument).filter(|argument| !argument.is_empty());
    Ok(match (entry.name, given) {
        ("/help", None) => Command::Help,
        ("/topology", name) => Command::Topology(name.map(str::to_owned)),
        ("/drafts", None) => Command::Drafts,
        ("/retry", None) => Command::Retry,
        ("/undo", None) => Command::Undo,
        ("/clear", None) => Command::Clear,
        ("/save", Some(file)) => Command::Save(file.into()),
        ("/seed", None) => Command::Seed(Seed::Show),
        ("/seed", Some("off")) => Command::Seed(Seed::Draw),
        ("/seed", Some(number)) => Command::Seed(Seed::Fix(number.parse().map_err(|_| wrong())?)),
        ("/quit", None) => Command::Quit,
        _ => return Err(wrong()),
    })
}

impl Entry {
    /// The name with its argument.
    pub(super) fn usage(&self) -> String {
        format!("{} {}", self.name, self.argument).trim_end().to_owned()
    }
}

fn unknown(name: &str) -> Failure {
    let near = nearest(name, COMMANDS.iter().map(|entry| entry.name));
    let hint = near.map_or_else(|| "/help lists the commands".to_owned(), |near| format!("did you mean {near}?"));
    usage(format!("there is no command {name}"))
        .hint(format!("{hint} (a question that begins with / is typed with //)"))
}

fn usage(message: String) -> Failure {
    Failure::new(ExitCode::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<Typed, &str>) {
        let parsed = parse(line).map_err(|failure| format!("{} {}", failure.message, failure.hint.unwrap_or_default()));
        match (parsed, expected) {
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{line:?}: {said}"),
            (parsed, expected) => assert_eq!(parsed, expected.map_err(str::to_owned), "{line:?}"),
        }
    }

    #[test]
    fn lines_are_questions_commands_or_nothing() {
        check("  ", Ok(Typed::Nothing));
        check(" Why? ", Ok(Typed::Question("Why?".to_owned())));
        check("//etc/hosts: what is it?", Ok(Typed::Question("/etc/hosts: what is it?".to_owned())));
        check("/topology", Ok(Typed::Command(Command::Topology(None))));
        check("/topology  moa-3 ", Ok(Typed::Command(Command::Topology(Some("moa-3".to_owned())))));
        check("/save a file.md", Ok(Typed::Command(Command::Save("a file.md".into()))));
        check("/seed 7", Ok(Typed::Command(Command::Seed(Seed::Fix(7)))));
        check("/seed off", Ok(Typed::Command(Command::Seed(Seed::Draw))));
    }

    #[test]
    fn a_slip_is_told_with_what_was_meant() {
        check("/tolopogy", Err("did you mean /topology?"));
        check("/xyzzy", Err("/help lists the commands"));
        check("/seed seven", Err("usage: /seed [N|off]"));
        check("/save", Err("usage: /save FILE"));
        check("/quit now", Err("usage: /quit"));
    }

    #[test]
    fn every_command_that_help_lists_is_one() {
        for entry in &COMMANDS {
            let argument = if entry.argument.is_empty() { "" } else { "7" };
            assert!(matches!(parse(&format!("{} {argument}", entry.name)), Ok(Typed::Command(_))), "{}", entry.name);
        }
    }
}
