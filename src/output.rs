//! The only way to stdout and stderr: results go to the one, everything said about them to the other.

use std::io::{self, IsTerminal, Write};

use owo_colors::{OwoColorize, Style};
use serde::Serialize;

use crate::exit::{ExitCode, Failure};

/// How to write, decided once at the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    quiet: bool,
    colour_stdout: bool,
    colour_stderr: bool,
    stderr_is_terminal: bool,
}

impl Output {
    /// Looks at the terminals and `NO_COLOR`.
    pub(crate) fn new(quiet: bool) -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let stderr_is_terminal = io::stderr().is_terminal();
        Self {
            quiet,
            colour_stdout: colour && io::stdout().is_terminal(),
            colour_stderr: colour && stderr_is_terminal,
            stderr_is_terminal,
        }
    }

    /// A result, as text.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            // The reader has seen enough, as in `synod models list | head -1`.
            io::ErrorKind::BrokenPipe => Failure::new(ExitCode::Ok, ""),
            _ => Failure::new(ExitCode::Failed, format!("cannot write to stdout: {error}")),
        })
    }

    /// A result, as one JSON document on one line.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value);
        self.text(&text.map_err(|error| Failure::new(ExitCode::Failed, format!("cannot write JSON: {error}")))?)
    }

    /// Something worth saying that is not the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// A question to who watches stderr; the answer is typed behind it. Also when quiet.
    pub(crate) fn question(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        // If stderr is gone nobody answers either.
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// A failure and its hint. Also when quiet.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        say(&format!("{}: {}", paint("error", Style::new().red().bold(), self.colour_stderr), failure.message));
        if let Some(hint) = &failure.hint {
            say(&format!("{}: {hint}", paint("hint", Style::new().cyan(), self.colour_stderr)));
        }
    }

    /// A heading within a result.
    pub(crate) fn heading(&self, text: &str) -> String {
        paint(text, Style::new().bold(), self.colour_stdout)
    }

    /// Whether nothing but results and errors is wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether somebody watches stderr, so that a bar makes sense.
    pub(crate) fn is_watched(&self) -> bool {
        self.stderr_is_terminal
    }
}

fn paint(text: &str, style: Style, colour: bool) -> String {
    if colour { text.style(style).to_string() } else { text.to_owned() }
}

fn say(text: &str) {
    // If stderr is gone there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
