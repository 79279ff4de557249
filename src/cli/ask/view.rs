//! What a person sees of a run: who is writing, drafts if asked for, then the answer as it comes.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use synod_aggregator::events::{At, Event};

use super::record::Record;
use crate::exit::{ExitCode, Failure};
use crate::output::Output;

/// Shows a run on the terminal.
pub(super) struct View {
    output: Output,
    show: bool,
    json: bool,
    spinner: ProgressBar,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each seat has written of a line that is not full yet.
    lines: BTreeMap<At, String>,
    /// Words of drafts so far.
    words: usize,
    /// The answer has begun.
    answering: bool,
    /// Ends with a line break.
    ended_line: bool,
}

impl View {
    /// A spinner on a terminal, plain lines elsewhere.
    pub(super) fn new(output: Output, show: bool, json: bool) -> Self {
        let hidden = output.is_quiet() || json || !std::io::stderr().is_terminal();
        let spinner = if hidden { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(120));
        Self { output, show, json, spinner, state: Mutex::default() }
    }

    /// What is going on before the run starts.
    pub(super) fn status(&self, text: &str) {
        self.spinner.set_message(text.to_owned());
    }

    /// Takes the spinner away.
    pub(super) fn clear(&self) {
        self.spinner.finish_and_clear();
        let ended = self.state.lock().is_ok_and(|state| !state.answering || state.ended_line);
        if !self.json && !ended {
            let _ = self.stdout("\n"); // whoever read the answer may have gone
        }
    }

    /// Shows what happened; `record` is what happened before.
    pub(super) fn event(&self, event: &Event, record: &Record) -> Result<(), Failure> {
        let Ok(mut state) = self.state.lock() else { return Ok(()) };
        match event {
            Event::MemberStarted(started) => {
                let seats = record.stages.get(started.at.stage).map_or(0, |stage| stage.members.len());
                let what = format!(
                    "stage {}: {} of {seats} seats writing ({})",
                    started.at.stage + 1,
                    started.at.seat + 1,
                    started.model
                );
                self.spinner.set_message(what);
            }
            Event::MemberDelta { at, text } if self.show && !self.is_answer(*at, record) => {
                let line = state.lines.entry(*at).or_default();
                line.push_str(text);
                while let Some(full) = take_line(line) {
                    self.draft(*at, &full, record);
                }
            }
            Event::MemberDelta { text, .. } => {
                state.words += text.split_whitespace().count();
                self.spinner.set_message(format!("drafting, {} words", state.words));
            }
            Event::MemberFinished(finished) => {
                if let Some(rest) = state.lines.remove(&finished.at)
                    && !rest.trim().is_empty()
                {
                    self.draft(finished.at, &rest, record);
                }
            }
            Event::MemberFailed(failed) => {
                let who = format!("stage {}, seat {}", failed.at.stage + 1, failed.at.seat + 1);
                self.spinner.suspend(|| self.output.note(&format!("lost {who}: {}", failed.error)));
            }
            Event::AnswerDelta { text, .. } if !self.json => {
                if !state.answering {
                    self.spinner.finish_and_clear();
                    if self.show {
                        self.stderr("\n");
                    }
                }
                state.answering = true;
                state.ended_line = text.ends_with('\n');
                self.stdout(text)?;
            }
            Event::RunFinished(end) if !self.json && !state.answering => {
                // An answer that was not streamed, such as a draft in place of a lost synthesis.
                state.answering = true;
                self.spinner.finish_and_clear();
                self.stdout(&end.answer)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The last stage's text is the answer, which goes to stdout.
    fn is_answer(&self, at: At, record: &Record) -> bool {
        at.stage + 1 == record.stages.len()
    }

    /// Prints a line of a draft behind who wrote it: seats write at the same time, and whole lines stay readable.
    fn draft(&self, at: At, line: &str, record: &Record) {
        let member = record.stages.get(at.stage).and_then(|stage| stage.members.get(at.seat));
        let who = member.map_or("", |member| if member.role.is_empty() { &member.model } else { &member.role });
        let short: String = who.chars().take(12).collect();
        self.spinner.suspend(|| {
            self.stderr(&format!("{}.{} {short:<12} │ {}\n", at.stage + 1, at.seat + 1, line.trim_end()));
        });
    }

    fn stdout(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::new(ExitCode::Ok, ""),
            _ => Failure::new(ExitCode::Failed, format!("cannot write to stdout: {error}")),
        })
    }

    fn stderr(&self, text: &str) {
        let _ = std::io::stderr().write_all(text.as_bytes()); // nowhere to complain
    }
}

/// Takes a line off the front of `text`: up to a line break, or as many words as fit a line.
fn take_line(text: &mut String) -> Option<String> {
    const WIDTH: usize = 90;
    let end = match text.find('\n') {
        Some(at) => at + 1,
        None if text.len() > WIDTH => text.rfind(' ').filter(|&at| at > 0)? + 1,
        None => return None,
    };
    Some(text.drain(..end).collect())
}

#[cfg(test)]
mod tests {
    use super::take_line;

    #[test]
    fn lines_end_at_breaks_or_between_words() {
        let mut text = "one\ntwo ".to_owned();
        assert_eq!(take_line(&mut text).as_deref(), Some("one\n"));
        assert_eq!(take_line(&mut text), None);
        text.push_str(&"word ".repeat(20));
        text.push_str("unfin");
        assert!(take_line(&mut text).is_some_and(|line| line.ends_with("word ")));
        assert_eq!(text, "unfin");
    }
}
