//! What a person sees of a run: who is writing, drafts if asked for, then the answer as it comes.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use synod_aggregator::events::{At, Event};

use super::{panel::Panel, record::Record};
use crate::exit::Failure;
use crate::live;
use crate::output::{Output, without_controls};

/// How much is seen of drafts while they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Drafts {
    /// How many words there are.
    Counted,
    /// All of them, line by line on stderr.
    Lines,
    /// A row for each seat, as long as there is no answer. Needs a terminal; without one, nothing.
    Panel,
}

/// Shows a run on the terminal.
pub(in crate::cli) struct View {
    output: Output,
    drafts: Drafts,
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
    /// Where drafts are shown as rows.
    panel: Option<Panel>,
}

impl View {
    /// A spinner on a terminal, plain lines elsewhere.
    pub(in crate::cli) fn new(output: Output, drafts: Drafts, json: bool) -> Self {
        let hidden = output.is_quiet() || json || !output.is_watched();
        let spinner = if hidden { ProgressBar::hidden() } else { live::add(ProgressBar::new_spinner()) };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(120));
        let panel = (drafts == Drafts::Panel && !hidden).then(|| Panel::new(output));
        Self { output, drafts, json, spinner, state: Mutex::new(State { panel, ..State::default() }) }
    }

    /// What is going on before the run starts.
    pub(in crate::cli) fn status(&self, text: &str) {
        self.spinner.set_message(text.to_owned());
    }

    /// Takes away what is drawn in place, and ends the answer's last line.
    pub(in crate::cli) fn clear(&self) {
        let Ok(mut state) = self.state.lock() else { return };
        self.undraw(&mut state);
        if !self.json && state.answering && !state.ended_line {
            let _ = self.output.piece("\n"); // whoever read the answer may have gone
        }
    }

    fn undraw(&self, state: &mut State) {
        live::remove(&self.spinner);
        if let Some(panel) = &mut state.panel {
            panel.clear();
        }
    }

    /// Shows what happened; `record` is what happened before.
    pub(in crate::cli) fn event(&self, event: &Event, record: &Record) -> Result<(), Failure> {
        let Ok(mut state) = self.state.lock() else { return Ok(()) };
        let state = &mut *state;
        if let Some(panel) = state.panel.as_mut().filter(|_| !state.answering) {
            if matches!(event, Event::MemberStarted(_)) {
                live::remove(&self.spinner);
            }
            panel.event(event, record);
        }
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
            Event::MemberDelta { at, text } if self.drafts == Drafts::Lines && !self.is_answer(*at, record) => {
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
                self.output.note(&format!("lost {who}: {}", failed.error));
            }
            Event::AnswerDelta { text, .. } if !self.json => {
                if !state.answering {
                    self.undraw(state);
                    if self.drafts == Drafts::Lines {
                        self.stderr("\n");
                    }
                }
                state.answering = true;
                state.ended_line = text.ends_with('\n');
                self.output.piece(&self.output.plain(text))?;
            }
            Event::RunFinished(end) if !self.json && !state.answering => {
                // An answer that was not streamed, such as a draft in place of a lost synthesis.
                state.answering = true;
                state.ended_line = end.answer.ends_with('\n');
                self.undraw(state);
                self.output.piece(&self.output.plain(&end.answer))?;
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
        let line = without_controls(line.trim_end());
        live::above(|| self.stderr(&format!("{}.{} {short:<12} │ {line}\n", at.stage + 1, at.seat + 1)));
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
