//! A conversation under way: what each line does.

use std::future::Future;
use std::path::PathBuf;

use synod_aggregator::{Client, ErrorCode, Limits};

use super::{
    commands::{COMMANDS, Command, Seed, Typed, parse},
    conversation::{Conversation, Turn},
    save::save,
    topologies,
};
use crate::cli::Context;
use crate::cli::question::{
    QuestionFlags, Unanswered, answer, interrupted,
    record::{Member, Record},
    view::{Drafts, View},
};
use crate::exit::{ExitCode, Failure};
use crate::output::Output;
use crate::signals::{CtrlC, Interrupt};

/// What comes after a line.
pub(super) enum Next {
    /// Another.
    Go,
    /// None.
    Leave,
}

/// What ends work that takes time.
pub(super) struct Stop {
    interrupt: Interrupt,
    /// At a terminal it ends an answer and not the conversation.
    ctrl_c: Option<CtrlC>,
}

/// A conversation.
pub(super) struct Session {
    client: Client,
    how: QuestionFlags,
    drafts: Drafts,
    stop: Stop,
    output: Output,
    conversation: Conversation,
    /// What was asked last and has no answer, and behind how many turns.
    unanswered: Option<(usize, String)>,
    /// The run of the last answer.
    last: Option<Record>,
    saved: Option<PathBuf>,
}

impl Session {
    /// Nothing was said yet.
    pub(super) fn new(client: Client, how: QuestionFlags, drafts: Drafts, stop: Stop, output: Output) -> Self {
        let (conversation, unanswered, last, saved) = Default::default();
        Self { client, how, drafts, stop, output, conversation, unanswered, last, saved }
    }

    /// Does what a line says.
    ///
    /// # Errors
    /// It did not work; the conversation may go on.
    pub(super) async fn take(&mut self, line: &str) -> Result<Next, Failure> {
        match parse(line)? {
            Typed::Nothing => {}
            Typed::Question(question) => self.ask(self.conversation.turns().len(), question).await?,
            Typed::Command(Command::Quit) => return Ok(Next::Leave),
            Typed::Command(command) => self.command(command).await?,
        }
        Ok(Next::Go)
    }

    async fn command(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Help => {
                COMMANDS.iter().try_for_each(|entry| self.output.text(&format!("{:<17} {}", entry.usage(), entry.help)))
            }
            Command::Topology(None) => {
                let offered = self.stop.or(topologies::offered(&mut self.client)).await?;
                topologies::list(&offered, self.how.topology.as_deref(), &self.output)
            }
            Command::Topology(Some(name)) => {
                let overrides = self.how.overrides();
                let checked = topologies::check(&mut self.client, &name, &overrides);
                self.stop.or(checked).await?;
                self.say(&format!("topology {name}"));
                self.how.topology = Some(name);
                Ok(())
            }
            Command::Drafts => self.show_drafts(),
            Command::Retry => self.retry().await,
            Command::Undo => {
                self.unanswered = None;
                let turn = self.conversation.undo().ok_or_else(|| nothing("take back"))?;
                self.say(&format!("taken back: {}", turn.question));
                Ok(())
            }
            Command::Clear => {
                (self.conversation, self.unanswered, self.last) = Default::default();
                self.say("a new conversation");
                Ok(())
            }
            Command::Save(file) => {
                if self.conversation.turns().is_empty() {
                    return Err(nothing("save"));
                }
                save(self.conversation.turns(), &file, self.saved.as_ref())?;
                self.say(&format!("saved to {}", file.display()));
                self.saved = Some(file);
                Ok(())
            }
            Command::Seed(seed) => {
                match seed {
                    Seed::Show => {}
                    Seed::Fix(seed) => self.how.seed = Some(seed),
                    Seed::Draw => self.how.seed = None,
                }
                let seed = self.how.seed.map_or_else(|| "each answer has one of its own".to_owned(), |n| n.to_string());
                self.say(&format!("seed: {seed}"));
                Ok(())
            }
            Command::Quit => Ok(()),
        }
    }

    /// Asks behind the first `turns` turns; what was said after them is forgotten once there is an answer.
    async fn ask(&mut self, turns: usize, question: String) -> Result<(), Failure> {
        self.unanswered = Some((turns, question.clone()));
        let record = loop {
            let messages = self.conversation.messages(turns, &question);
            if !is_taken(&messages) && self.leave_out(turns) {
                continue;
            }
            let asked = self.how.question(messages)?;
            let view = View::new(self.output, self.drafts, false);
            let answered = self.stop.or(answer(&mut self.client, asked, &view)).await;
            view.clear();
            match answered {
                Ok(record) => break record,
                Err(Unanswered::Refused(error)) if error.code == ErrorCode::PromptRefused && self.leave_out(turns) => {}
                Err(unanswered) => return Err(unanswered.into()),
            }
        };
        record.warnings.iter().for_each(|warning| self.output.note(&format!("warning: {warning}")));
        if self.stop.ctrl_c.is_some() {
            self.say(&format!("{}\n", summary(&record)));
        }
        let Record { answer, run_id, topology, seed, .. } = &record;
        let (answer, run_id, topology) = (answer.clone(), run_id.clone(), topology.clone());
        self.conversation.go_on(turns, Turn { question, answer, run_id, topology, seed: *seed });
        (self.unanswered, self.last) = (None, Some(record));
        Ok(())
    }

    /// Leaves out the oldest turns, if any still go along.
    fn leave_out(&mut self, turns: usize) -> bool {
        let Some(left_out) = self.conversation.leave_out(turns) else { return false };
        let what = if left_out == 1 { "oldest turn is".to_owned() } else { format!("{left_out} oldest turns are") };
        let told = format!("the conversation is longer than the models read: its {what} left out from now on");
        self.output.note(&format!("warning: {told}"));
        true
    }

    async fn retry(&mut self) -> Result<(), Failure> {
        let turns = self.conversation.turns();
        let (before, question) = match (&self.unanswered, turns.last()) {
            (Some((before, question)), _) => (*before, question.clone()),
            (None, Some(last)) => (turns.len() - 1, last.question.clone()),
            (None, None) => return Err(nothing("ask again")),
        };
        if let (None, Some(seed)) = (&self.unanswered, self.how.seed) {
            self.say(&format!("seed {seed} gives the same text again; /seed off for another"));
        }
        self.ask(before, question).await
    }

    fn show_drafts(&self) -> Result<(), Failure> {
        let record = self.last.as_ref().ok_or_else(|| nothing("show"))?;
        let mut told = Vec::new();
        for (at, stage) in record.stages.iter().enumerate() {
            // What a synthesis writes last is the answer.
            let is_answer = at + 1 == record.stages.len() && stage.kind == "synthesize";
            for (seat, member) in stage.members.iter().enumerate().filter(|_| !is_answer) {
                let heading = self.output.heading(&format!("{}.{} {}", at + 1, seat + 1, author(member)));
                told.push(format!("{heading}\n{}", self.output.plain(written(member).trim())));
            }
            if !stage.decision.is_empty() {
                told.push(self.output.plain(&stage.decision).into_owned());
            }
        }
        match told.is_empty() {
            true => Err(Failure::new(ExitCode::Usage, "the last answer was written without drafts")),
            false => self.output.text(&told.join("\n\n")),
        }
    }

    fn say(&self, text: &str) {
        self.output.note(&self.output.dim(text));
    }
}

impl Stop {
    /// The process is to end.
    pub(super) fn of(context: &Context) -> Self {
        Self { interrupt: context.interrupt.clone(), ctrl_c: None }
    }

    /// The same, and Ctrl-C for this work alone.
    pub(super) fn by_ctrl_c(context: &Context) -> Self {
        Self { ctrl_c: Some(context.interrupt.take_ctrl_c()), ..Self::of(context) }
    }

    /// The work's result, unless it is stopped before. What is stopped is dropped, and a run with it.
    async fn or<T, E: From<Failure>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let pressed = async {
            match &self.ctrl_c {
                Some(ctrl_c) => ctrl_c.pressed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = Box::pin(work) => done,
            () = self.interrupt.wait() => Err(interrupted().into()),
            () = pressed => Err(cancelled().into()),
        }
    }
}

/// Whether an aggregator takes so much, whatever its models read.
fn is_taken(messages: &[(String, String)]) -> bool {
    let (limits, bytes) = (Limits::standard(), messages.iter().map(|(_, text)| text.len()).sum::<usize>());
    // A system message may come on top.
    messages.len() < limits.messages && bytes <= limits.question_bytes
}

fn author(member: &Member) -> String {
    if member.role.is_empty() { member.model.clone() } else { format!("{} ({})", member.role, member.model) }
}

fn written(member: &Member) -> String {
    match &member.error {
        Some(error) => format!("{}\nlost: {error}", member.text),
        None => member.text.clone(),
    }
}

/// How the answer came to be, in a line.
fn summary(record: &Record) -> String {
    let drafts: usize = record.stages.iter().filter(|one| one.kind == "propose").map(|one| one.members.len()).sum();
    let drafts = match drafts {
        0 => String::new(),
        1 => "1 draft · ".to_owned(),
        more => format!("{more} drafts · "),
    };
    format!("{drafts}{:.1} s · seed {}", record.timings.total_ms as f64 / 1e3, record.seed)
}

fn nothing(what: &str) -> Failure {
    Failure::new(ExitCode::Usage, format!("there is nothing to {what} yet"))
}

fn cancelled() -> Failure {
    Failure::new(ExitCode::Interrupted, "cancelled").hint("/retry asks again")
}
