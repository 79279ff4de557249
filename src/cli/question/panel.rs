//! Drafts while they are written: a line a seat, in place, gone when the answer begins.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use synod_aggregator::events::{At, Event, StageFinished};

use super::record::Record;
use crate::output::Output;
use crate::{live, terminal};

const TICK: Duration = Duration::from_millis(120);
/// Narrower than this, rows say only what matters most.
const NARROW: usize = 60;
/// The most that is kept of a draft; a row shows its end.
const KEPT_BYTES: usize = 1024;

/// Rows on stderr.
pub(super) struct Panel {
    output: Output,
    seats: BTreeMap<At, Seat>,
    /// What is left of stages that are done.
    stages: Vec<ProgressBar>,
}

struct Seat {
    row: ProgressBar,
    name: String,
    began: Instant,
    words: usize,
    /// The end of what it wrote.
    text: String,
}

impl Panel {
    /// No rows yet.
    pub(super) fn new(output: Output) -> Self {
        Self { output, seats: BTreeMap::new(), stages: Vec::new() }
    }

    /// Takes all rows away.
    pub(super) fn clear(&mut self) {
        self.seats.values().map(|seat| &seat.row).chain(&self.stages).for_each(live::remove);
        self.seats.clear();
        self.stages.clear();
    }

    /// Shows what happened; `record` is what happened before.
    pub(super) fn event(&mut self, event: &Event, record: &Record) {
        match event {
            Event::MemberStarted(started) => {
                let kind = record.stages.get(started.at.stage).map_or("", |stage| stage.kind);
                let synthesis = started.at.stage > 0 && kind == "synthesize";
                let name: &str = match (synthesis, started.role.is_empty()) {
                    (true, _) => "synthesis",
                    (false, true) => &started.model,
                    (false, false) => &started.role,
                };
                self.start(started.at, name, if synthesis { "reads the drafts" } else { "reads the question" });
            }
            Event::MemberDelta { at, text } => {
                if let Some(seat) = self.seats.get_mut(at) {
                    seat.wrote(text);
                    seat.row.set_message(seat.line(*at, &self.output, true));
                }
            }
            Event::MemberFinished(finished) => {
                if let Some(seat) = self.seats.get_mut(&finished.at) {
                    seat.words = finished.text.split_whitespace().count();
                    seat.text = format!("done in {}", seconds(seat.began.elapsed()));
                    self.end(finished.at, true);
                }
            }
            Event::MemberFailed(failed) => {
                self.start(failed.at, "", ""); // it may be lost before it had a node
                if let Some(seat) = self.seats.get_mut(&failed.at) {
                    seat.text = failed.error.clone();
                    self.end(failed.at, false);
                }
            }
            Event::StageFinished(finished) if finished.stage + 1 < record.stages.len() => self.fold(finished),
            _ => {}
        }
    }

    fn start(&mut self, at: At, name: &str, doing: &str) {
        if let Some(seat) = self.seats.get_mut(&at) {
            // It moved to another node and begins again.
            (seat.words, seat.text) = (0, doing.to_owned());
            return;
        }
        let row = self.row_at(at);
        row.set_style(style("{spinner} {msg}"));
        let seat = Seat { row, name: name.to_owned(), began: Instant::now(), words: 0, text: doing.to_owned() };
        seat.row.set_message(seat.line(at, &self.output, true));
        seat.row.enable_steady_tick(TICK);
        self.seats.insert(at, seat);
    }

    /// A row in the place of a seat, whatever the order in which seats begin.
    fn row_at(&self, at: At) -> ProgressBar {
        match self.seats.range(at..).next() {
            Some((_, below)) => live::add_above(&below.row, ProgressBar::new_spinner()),
            None => live::add(ProgressBar::new_spinner()),
        }
    }

    fn end(&self, at: At, well: bool) {
        let Some(seat) = self.seats.get(&at) else { return };
        let mark = if well { self.output.good("✓") } else { self.output.bad("✗") };
        seat.row.set_style(style("{msg}"));
        seat.row.finish_with_message(format!("{mark} {}", seat.line(at, &self.output, well)));
    }

    /// One line for the rows of a stage that is done.
    fn fold(&mut self, finished: &StageFinished) {
        let lost = if finished.failed > 0 { format!(", {} lost", finished.failed) } else { String::new() };
        let counted = format!("{} answered{lost}, ", finished.answered);
        let line = format!("stage {} · {counted}{}", finished.stage + 1, seconds(finished.took));
        self.seats.iter().filter(|(at, _)| at.stage == finished.stage).for_each(|(_, seat)| live::remove(&seat.row));
        self.seats.retain(|at, _| at.stage != finished.stage);
        let row = self.row_at(At { stage: finished.stage, seat: 0 });
        row.set_style(style("{msg}"));
        row.finish_with_message(format!("{} {}", self.output.good("✓"), terminal::head(&line, room())));
        self.stages.push(row);
    }
}

impl Seat {
    fn wrote(&mut self, text: &str) {
        if self.words == 0 {
            self.text.clear();
        }
        self.words += text.split_whitespace().count().max(usize::from(self.words == 0));
        self.text.push_str(text);
        if self.text.len() > 2 * KEPT_BYTES {
            let from = self.text.floor_char_boundary(self.text.len() - KEPT_BYTES);
            self.text.drain(..from);
        }
    }

    /// Its row but for the mark: who it is, how much it wrote, and the end of that.
    fn line(&self, at: At, output: &Output, from_the_end: bool) -> String {
        let columns = room();
        let name = terminal::head(&self.name, if columns < NARROW { 8 } else { 14 });
        let width = if columns < NARROW { 8 } else { 14 };
        let unit = if columns < NARROW { "" } else { " words" };
        let head = format!("{}.{} {name:<width$} {:>4}{unit}  ", at.stage + 1, at.seat + 1, self.words);
        let left = columns.saturating_sub(console::measure_text_width(&head));
        let text = match from_the_end {
            true => output.dim(&terminal::tail(&self.text, left)),
            false => terminal::head(&terminal::tail(&self.text, usize::MAX), left),
        };
        terminal::head(&format!("{head}{text}"), columns)
    }
}

/// Columns behind a row's mark.
fn room() -> usize {
    // The last column stays free: some terminals wrap at it.
    terminal::columns().saturating_sub(3)
}

/// The templates are constants that every question tries; plain spinners are good enough if one were wrong.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}
