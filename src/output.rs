//! The only way to stdout and stderr: results go to the one, everything said about them to the other.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use owo_colors::{OwoColorize, Style};
use serde::Serialize;

use crate::exit::{ExitCode, Failure};
use crate::live;

/// How to write, decided once at the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    quiet: bool,
    colour_stdout: bool,
    colour_stderr: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Output {
    /// Looks at the terminals and `NO_COLOR`.
    pub(crate) fn new(quiet: bool) -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (stdout_is_terminal, stderr_is_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            quiet,
            colour_stdout: colour && stdout_is_terminal,
            colour_stderr: colour && stderr_is_terminal,
            stdout_is_terminal,
            stderr_is_terminal,
        }
    }

    /// A result, as text.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        live::above(|| self.piece(&format!("{text}\n")))
    }

    /// A piece of a result, as it comes. Nothing may be drawn meanwhile: what is drawn begins at the start of a line.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub(crate) fn piece(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
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

    /// What matters less in what is said about a result.
    pub(crate) fn dim(&self, text: &str) -> String {
        paint(text, Style::new().dimmed(), self.colour_stderr)
    }

    /// What is well, in what is said about a result.
    pub(crate) fn good(&self, text: &str) -> String {
        paint(text, Style::new().green(), self.colour_stderr)
    }

    /// What is not.
    pub(crate) fn bad(&self, text: &str) -> String {
        paint(text, Style::new().red(), self.colour_stderr)
    }

    /// Text of somebody else, fit for stdout: a terminal would obey its control characters.
    pub(crate) fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.stdout_is_terminal { without_controls(text) } else { Cow::Borrowed(text) }
    }

    /// Whether nothing but results and errors is wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether somebody watches stderr, so that a bar makes sense.
    pub(crate) fn is_watched(&self) -> bool {
        self.stderr_is_terminal
    }

    /// Whether somebody reads both at one terminal, as far as can be told.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stdout_is_terminal && self.stderr_is_terminal
    }
}

/// The text without what a terminal would obey; lines and tabs stay.
pub(crate) fn without_controls(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(obeyed) { Cow::Owned(text.replace(obeyed, "")) } else { Cow::Borrowed(text) }
}

fn paint(text: &str, style: Style, colour: bool) -> String {
    if colour { text.style(style).to_string() } else { text.to_owned() }
}

fn say(text: &str) {
    // If stderr is gone there is nobody left to tell.
    let _ = live::above(|| writeln!(io::stderr().lock(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::without_controls;

    #[test]
    fn what_a_terminal_would_obey_is_left_out_and_lines_stay() {
        assert_eq!(without_controls("a\u{1b}[31mb\r\n\tc\u{9b}2J\u{7}"), "a[31mb\n\tc2J");
        assert_eq!(without_controls("plain\ntext é"), "plain\ntext é");
    }
}
