//! Lines typed at a terminal: edited, completed, and remembered from one conversation to the next.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::commands::COMMANDS;
use crate::exit::{ExitCode, Failure};
use crate::output::Output;

const PROMPT: &str = "> ";
/// Lines that are remembered.
const HISTORY_LINES: usize = 1000;

/// The editor.
pub(super) struct LineEditor {
    editor: Editor<Help, FileHistory>,
    /// Where lines are remembered, if they are.
    history: Option<PathBuf>,
}

impl LineEditor {
    /// Completes commands and these topologies.
    ///
    /// # Errors
    /// The terminal cannot be used.
    pub(super) fn new(topologies: Vec<String>, history: Option<PathBuf>, output: &Output) -> Result<Self, Failure> {
        let config = Config::builder().completion_type(CompletionType::List).history_ignore_space(true);
        let config = config.max_history_size(HISTORY_LINES).map_err(unusable)?.build();
        let remembered = FileHistory::with_config(&config);
        let mut editor = Editor::with_history(config, remembered).map_err(unusable)?;
        editor.set_helper(Some(Help { topologies, is_empty: AtomicBool::new(true) }));
        let history = history.filter(|file| {
            let made = file.parent().map_or(Ok(()), fs::create_dir_all);
            let read = made.map_err(ReadlineError::from).and_then(|()| match file.exists() {
                true => editor.load_history(file),
                false => Ok(()),
            });
            let told = |error| output.note(&format!("warning: no history: {}: {error}", file.display()));
            read.map_err(told).is_ok()
        });
        Ok(Self { editor, history })
    }

    /// The next line; none when the user leaves.
    ///
    /// # Errors
    /// The terminal cannot be read.
    pub(super) fn line(&mut self) -> Result<Option<String>, Failure> {
        loop {
            match self.editor.readline(PROMPT) {
                Ok(line) => {
                    self.remember(&line);
                    return Ok(Some(line.replace("\\\n", "\n")));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                // On a line with something in it, it takes back the line.
                Err(ReadlineError::Interrupted) if self.editor.helper().is_none_or(Help::was_empty) => return Ok(None),
                Err(ReadlineError::Interrupted) => {}
                Err(error) => return Err(unusable(error)),
            }
        }
    }

    /// At once: whoever closes the window still finds it the next time.
    fn remember(&mut self, line: &str) {
        let Some(file) = &self.history else { return };
        let kept = self.editor.add_history_entry(line).and_then(|_| self.editor.append_history(file));
        if let Err(error) = kept {
            tracing::debug!(%error, "a line is not remembered");
        }
    }
}

fn unusable(error: ReadlineError) -> Failure {
    Failure::new(ExitCode::Failed, format!("cannot read from the terminal: {error}"))
}

/// What the editor knows of lines.
struct Help {
    topologies: Vec<String>,
    /// Whether there is anything on the line, as of its last change.
    is_empty: AtomicBool,
}

impl Help {
    fn was_empty(&self) -> bool {
        self.is_empty.load(Ordering::Relaxed)
    }
}

impl Completer for Help {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or_default();
        Ok(match before.strip_prefix("/topology ") {
            Some(name) => (at - name.len(), beginning_with(name, self.topologies.iter().map(String::as_str))),
            None if before.starts_with('/') => (0, beginning_with(before, COMMANDS.iter().map(|one| one.name))),
            None => (at, Vec::new()),
        })
    }
}

fn beginning_with<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.filter(|name| name.starts_with(text)).map(str::to_owned).collect()
}

impl Hinter for Help {
    type Hint = String;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.is_empty.store(line.is_empty(), Ordering::Relaxed);
        None
    }
}

impl Validator for Help {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match context.input().ends_with('\\') {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

impl Highlighter for Help {}
impl Helper for Help {}
