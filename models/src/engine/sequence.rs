//! One sequence inside the engine's thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use synod_kernels::{BLOCK_TOKENS, Isa};
use tokio::sync::mpsc;

use super::{
    EngineError, Event, FinishReason, Finished, SequenceOptions, TokenEvent,
    cache::{Place, blocks_for},
    lookup::{Guess, Guesser},
    masks::forbid_others,
    sampler::{Drawn, Sampler},
    stop::{Filtered, StopFilter},
};
use crate::{
    grammar::{Constraint, TokenSet},
    text::{Tokenizer, Utf8Stream},
};

/// What `Engine::open` hands to the engine's thread.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: u64,
    pub(super) options: SequenceOptions,
    pub(super) constraint: Option<Constraint>,
    pub(super) listener: Listener,
}

/// Who is told of a sequence.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    pub(super) events: mpsc::Sender<Result<Event, EngineError>>,
    /// Set when the caller has let go of the sequence.
    pub(super) abandoned: Arc<AtomicBool>,
}

impl Listener {
    /// Whether anybody still listens; once not, never again.
    pub(super) fn is_there(&self) -> bool {
        !self.abandoned.load(Relaxed) && !self.events.is_closed()
    }
}

/// A sequence's tokens, its place in the cache and what is told of it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: u64,
    /// The prompt, then what was written.
    pub(super) tokens: Vec<u32>,
    /// No more prompt will come.
    pub(super) closed: bool,
    /// Tokens whose keys and values are in the cache.
    pub(super) cached: usize,
    pub(super) place: Place,
    /// Blocks it may have.
    pub(super) granted: usize,
    prompt_tokens: usize,
    /// Tokens of the prompt that it did not compute itself.
    reused: usize,
    guesser: Option<Guesser>,
    guessed: usize,
    guessed_right: usize,
    /// Away while its masks are computed.
    pub(super) constraint: Option<Constraint>,
    forced: usize,
    options: SequenceOptions,
    listener: Listener,
    sampler: Sampler,
    characters: Utf8Stream,
    stop: StopFilter,
    logprobs: f64,
    opened: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
}

impl Running {
    pub(super) fn new(opened: Opened) -> Self {
        let Opened { id, options, constraint, listener } = opened;
        Self {
            id,
            tokens: Vec::new(),
            closed: false,
            cached: 0,
            place: Place::default(),
            granted: 0,
            prompt_tokens: 0,
            reused: 0,
            guesser: options.prompt_lookup.then(Guesser::new),
            guessed: 0,
            guessed_right: 0,
            constraint,
            forced: 0,
            sampler: Sampler::new(options.sampling.clone(), options.top_logprobs),
            characters: Utf8Stream::default(),
            stop: StopFilter::new(options.stop.clone()),
            options,
            listener,
            logprobs: 0.0,
            opened: Instant::now(),
            started: None,
            first_token: None,
        }
    }

    /// More of the prompt.
    pub(super) fn append(&mut self, ids: &[u32]) {
        self.tokens.extend_from_slice(ids);
        self.prompt_tokens = self.tokens.len();
    }

    /// Who is told of it.
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// The tokens whose keys and values are in the cache.
    pub(super) fn computed(&self) -> &[u32] {
        &self.tokens[..self.cached]
    }

    /// Whether the answer has begun: such a sequence never waits for memory.
    pub(super) fn is_decoding(&self) -> bool {
        self.first_token.is_some()
    }

    /// Blocks for its prompt and, when that is complete, its longest answer.
    pub(super) fn needs(&self, context_length: usize) -> usize {
        let answer = if self.closed { self.options.max_tokens } else { 0 };
        blocks_for((self.prompt_tokens + answer).min(context_length)).max(1)
    }

    /// Tokens that can be computed now. The last one of a prompt waits for the prompt's end (its logits are wanted) and for
    /// the answer's memory.
    pub(super) fn computable(&self, context_length: usize) -> usize {
        let complete = self.closed && self.granted >= self.needs(context_length);
        let known = if complete { self.tokens.len() } else { self.tokens.len().saturating_sub(1) };
        known.min(self.granted * BLOCK_TOKENS).saturating_sub(self.cached)
    }

    /// The cache has its tokens up to `position` already.
    pub(super) fn moved_to(&mut self, position: usize) {
        self.reused += position - self.cached;
        self.cached = position;
    }

    /// Its memory is gone: it computes its prompt anew.
    pub(super) fn start_over(&mut self) {
        (self.cached, self.granted, self.reused) = (0, 0, 0);
    }

    /// Whether the next `rows` computed tokens reach the end of what is known, so that the next token can be drawn.
    pub(super) fn reaches_end(&self, rows: usize) -> bool {
        self.closed && self.cached + rows == self.tokens.len()
    }

    /// A step with this sequence in it begins.
    pub(super) fn begin(&mut self) {
        self.started.get_or_insert_with(Instant::now);
    }

    /// Guesses at most `most` tokens of those that may still come.
    pub(super) fn guess(&mut self, most: usize, context_length: usize) -> Guess {
        let written = self.tokens.len() - self.prompt_tokens;
        let left = (self.options.max_tokens - written).min(context_length - self.tokens.len());
        match &mut self.guesser {
            Some(guesser) if self.cached + 1 == self.tokens.len() => guesser.guess(&self.tokens, most.min(left - 1)),
            _ => Guess::default(),
        }
    }

    /// The masks of a sequence that none were computed for: fine if it has no grammar.
    pub(super) fn no_masks(&self) -> Result<Vec<TokenSet>, EngineError> {
        if self.options.grammar.is_some() { Err(EngineError::Stopped) } else { Ok(Vec::new()) }
    }

    /// Draws the next token from the first of `rows`, and one more from the next row for each token of `guess` that was
    /// drawn; `masks` are what may be drawn from each row, where there is a grammar. Returns true if that ended the sequence.
    pub(super) fn draw<'a>(
        &mut self,
        isa: Isa,
        rows: impl Iterator<Item = &'a mut [f32]>,
        guess: &Guess,
        masks: &[TokenSet],
        tokenizer: &Tokenizer,
        context_length: usize,
    ) -> bool {
        let (mut right, mut ended) = (0, false);
        for logits in rows {
            if let Some(mask) = masks.get(right) {
                forbid_others(mask, logits);
            }
            ended = self.draw_one(isa, logits, tokenizer, context_length);
            if ended || guess.tokens.get(right) != self.tokens.last() {
                break;
            }
            right += 1;
        }
        self.cached += right;
        if let Some(guesser) = self.guesser.as_mut().filter(|_| !guess.tokens.is_empty()) {
            guesser.learn(guess, right);
            self.guessed += guess.tokens.len();
            self.guessed_right += right;
        }
        ended || self.write_forced(tokenizer, context_length)
    }

    /// Draws the next token from `logits`. Returns true if that ended the sequence.
    fn draw_one(&mut self, isa: Isa, logits: &mut [f32], tokenizer: &Tokenizer, context_length: usize) -> bool {
        let Some(drawn) = self.sampler.draw(isa, logits, &self.tokens) else {
            self.fail(EngineError::NotANumber);
            return true;
        };
        self.first_token.get_or_insert_with(Instant::now);
        self.logprobs += f64::from(drawn.logprob);
        self.write(drawn, tokenizer, context_length)
    }

    /// Writes the tokens that the grammar leaves no choice about. Returns true if that ended the sequence.
    fn write_forced(&mut self, tokenizer: &Tokenizer, context_length: usize) -> bool {
        let forced = match self.constraint.as_mut().map(Constraint::forced) {
            None => return false,
            Some(Ok(forced)) => forced,
            Some(Err(error)) => {
                self.fail(error.into());
                return true;
            }
        };
        forced.into_iter().any(|id| {
            self.forced += 1;
            self.write(Drawn { id, logprob: 0.0, top: Vec::new() }, tokenizer, context_length)
        })
    }

    /// Appends a token and tells of it. Returns true if that ended the sequence.
    fn write(&mut self, drawn: Drawn, tokenizer: &Tokenizer, context_length: usize) -> bool {
        let Drawn { id, logprob, top } = drawn;
        if let Some(Err(error)) = self.constraint.as_mut().map(|constraint| constraint.accept(id)) {
            self.fail(error.into());
            return true;
        }
        self.tokens.push(id);
        let whole = self.constraint.as_ref().is_some_and(Constraint::is_finished);
        let ended = tokenizer.is_end_of_generation(id) && !self.options.ignore_end;
        let text = if ended { String::new() } else { self.characters.push(tokenizer.token_bytes(id)) };
        let (text, stopped) = match self.stop.push(&text) {
            Filtered::Text(text) => (text, false),
            Filtered::Stopped(text) => (text, true),
        };
        self.tell(Ok(Event::Token(TokenEvent { id, text, logprob, top })));
        let written = self.tokens.len() - self.prompt_tokens;
        if ended || stopped || whole {
            self.finish(FinishReason::Stop, stopped);
        } else if written >= self.options.max_tokens || self.tokens.len() >= context_length {
            self.finish(FinishReason::Length, false);
        } else {
            return false;
        }
        true
    }

    fn finish(&mut self, reason: FinishReason, stopped: bool) {
        let mut text = String::new();
        if !stopped {
            let tail = std::mem::take(&mut self.characters).finish();
            let (Filtered::Text(passed) | Filtered::Stopped(passed)) = self.stop.push(tail);
            text = passed + &self.stop.finish();
        }
        let now = Instant::now();
        let (started, first) = (self.started.unwrap_or(now), self.first_token.unwrap_or(now));
        let completion_tokens = self.tokens.len() - self.prompt_tokens;
        self.tell(Ok(Event::Finished(Finished {
            reason,
            text,
            prompt_tokens: self.prompt_tokens,
            cached_prompt_tokens: self.reused,
            completion_tokens,
            lookup_tokens: self.guessed,
            lookup_accepted: self.guessed_right,
            forced_tokens: self.forced,
            mean_logprob: self.logprobs / (completion_tokens - self.forced).max(1) as f64,
            queued: started.saturating_duration_since(self.opened),
            prefill: first.saturating_duration_since(started),
            decode: if completion_tokens > 0 { now.saturating_duration_since(first) } else { Duration::ZERO },
        })));
    }

    /// Ends the sequence with an error.
    pub(super) fn fail(&mut self, error: EngineError) {
        self.tell(Err(error));
    }

    fn tell(&mut self, event: Result<Event, EngineError>) {
        // The channel holds every event a sequence can have; it only refuses when nobody listens, which the next step
        // notices.
        let _ = self.listener.events.try_send(event);
    }
}
