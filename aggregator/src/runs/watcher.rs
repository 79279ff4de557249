//! What a run does with the events of one seat.

use super::{
    events::{At, MemberStarted},
    log::RunLog,
    overlap::Feed,
};
use crate::{
    members::{Cut, TokenLogprob, Trouble, Watch},
    metrics::Metrics,
    topology::Member,
};

/// Writes a seat's events into the run's log.
pub(super) struct Watcher<'r> {
    pub(super) log: &'r RunLog,
    pub(super) metrics: &'r Metrics,
    pub(super) at: At,
    pub(super) member: &'r Member,
    /// Whether the seat writes the answer rather than a draft.
    pub(super) is_answer: bool,
    /// Who reads the draft while it is written.
    pub(super) feed: Option<&'r Feed>,
}

impl Watch for Watcher<'_> {
    fn started(&self, node: &str) {
        if let Some(feed) = self.feed {
            feed.restarted(self.at.seat);
        }
        self.log.member_started(MemberStarted {
            at: self.at,
            node: node.to_owned(),
            model: self.member.author.name().to_owned(),
            role: self.member.role.as_ref().map(|role| role.name.clone()).unwrap_or_default(),
            nested_run_id: String::new(),
        });
    }

    fn accepted(&self, prompt_tokens: u32, cuts: &[Cut]) {
        self.log.member_accepted(self.at, prompt_tokens, cuts);
    }

    fn logprobs(&self, tokens: Vec<TokenLogprob>) {
        if self.is_answer {
            self.log.logprobs(tokens);
        }
    }

    fn met(&self, trouble: Trouble) {
        self.metrics.met(trouble);
    }

    fn delta(&self, text: &str, tokens: u32) {
        self.log.delta(self.at, text, tokens, self.is_answer);
        if let Some(feed) = self.feed {
            feed.wrote(self.at.seat, text);
        }
    }
}
