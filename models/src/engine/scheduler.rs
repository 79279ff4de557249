//! The engine's thread: takes commands, runs the steps that [`super::plan`] lays out, draws tokens.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvError, TryRecvError},
    },
};

use synod_kernels::attention::{Batch, BatchRow};

use crate::{grammar::TokenSet, nn::Wanted};

use super::{
    EngineError,
    cache::{BlockCache, Place, blocks_for},
    likelihood::LikelihoodRequest,
    masks::{Masked, Masks},
    model::LoadedModel,
    pace::{MOST_ROWS, StepTimes},
    plan::{Plan, Share},
    sequence::{Listener, Opened, Running},
};

/// What the engine's thread is told.
pub(super) enum Command {
    Open(Box<Opened>),
    Append(u64, Vec<u32>),
    Close(u64),
    /// Somebody has let go of a sequence: look.
    Wake,
    /// Score given tokens: all positions' likeliest tokens.
    Score(ScoreRequest),
    /// How likely a text is after a beginning.
    Likelihood(LikelihoodRequest),
}

/// Teacher-forced log-probabilities of a token list.
pub(super) struct ScoreRequest {
    pub(super) ids: Vec<u32>,
    pub(super) top: usize,
    pub(super) reply: std::sync::mpsc::SyncSender<Scores>,
}

/// For each position the likeliest tokens with their log-probabilities, best first.
pub(super) type Scores = Result<Vec<Vec<(u32, f32)>>, EngineError>;

/// Counters that handles read.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) running: AtomicUsize,
    pub(super) queued: AtomicUsize,
    /// Blocks of keys and values, and how many of them sequences hold.
    pub(super) blocks: AtomicUsize,
    pub(super) held: AtomicUsize,
}

/// What a scheduler may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Sequences that compute together.
    pub(super) max_running: usize,
    /// Tokens of prompt and answer.
    pub(super) context_length: usize,
    /// Blocks of keys and values; at least a whole context's.
    pub(super) blocks: usize,
}

pub(super) struct Scheduler {
    pub(super) model: LoadedModel,
    commands: Receiver<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) limits: Limits,
    pub(super) cache: BlockCache,
    pub(super) times: StepTimes,
    pub(super) running: Vec<Running>,
    pub(super) waiting: VecDeque<Running>,
    masks: Masks,
}

impl Scheduler {
    pub(super) fn new(
        model: LoadedModel,
        commands: Receiver<Command>,
        counters: Arc<Counters>,
        limits: Limits,
    ) -> Self {
        let cache = BlockCache::new(limits.blocks);
        counters.blocks.store(limits.blocks, Relaxed);
        let (running, waiting) = (Vec::new(), VecDeque::new());
        Self {
            model,
            commands,
            counters,
            limits,
            cache,
            times: StepTimes::default(),
            running,
            waiting,
            masks: Masks::default(),
        }
    }

    /// Runs until every handle is gone.
    pub(super) fn run(mut self) {
        let mut idle = true;
        while self.take_commands(idle).is_ok() {
            self.drop_abandoned();
            self.admit();
            let Plan { shares, copies } = self.plan();
            // Also where nobody computes: whoever was moved over a block relies on it.
            self.model.copy_blocks(&copies);
            idle = shares.is_empty() && !self.make_room();
            if !shares.is_empty() {
                self.step(&shares);
            }
            self.counters.running.store(self.running.len(), Relaxed);
            self.counters.held.store(self.limits.blocks - self.cache.available(), Relaxed);
        }
        for sequence in self.running.iter_mut().chain(&mut self.waiting) {
            sequence.fail(EngineError::Stopped);
        }
    }

    /// Takes all commands that are there; waits for one if there is nothing to compute.
    fn take_commands(&mut self, idle: bool) -> Result<(), RecvError> {
        if idle {
            let command = self.commands.recv()?;
            self.obey(command);
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(RecvError),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open(opened) => self.waiting.push_back(Running::new(*opened)),
            Command::Append(id, ids) => {
                if let Some(sequence) = self.find(id) {
                    sequence.append(&ids);
                }
            }
            Command::Close(id) => {
                if let Some(sequence) = self.find(id) {
                    sequence.closed = true;
                }
            }
            Command::Wake => {}
            Command::Score(request) => {
                let scores = self.score(&request.ids, request.top);
                let _ = request.reply.send(scores); // whoever asked may have gone
            }
            Command::Likelihood(request) => {
                let likelihood = self.likelihood(&request);
                let _ = request.reply.send(likelihood); // whoever asked may have gone
            }
        }
    }

    fn find(&mut self, id: u64) -> Option<&mut Running> {
        self.running.iter_mut().chain(&mut self.waiting).find(|sequence| sequence.id == id)
    }

    fn drop_abandoned(&mut self) {
        for index in (0..self.running.len()).rev() {
            if !self.running[index].listener().is_there() {
                self.retire(index);
            }
        }
        let before = self.waiting.len();
        self.waiting.retain(|sequence| sequence.listener().is_there());
        self.counters.queued.fetch_sub(before - self.waiting.len(), Relaxed);
    }

    /// Ends a sequence's part in the engine; what was computed of it stays in the cache.
    fn retire(&mut self, index: usize) {
        let mut sequence = self.running.remove(index);
        let place = std::mem::take(&mut sequence.place);
        self.cache.release(place, sequence.computed());
    }

    fn step(&mut self, shares: &[Share]) {
        let (mut batch, mut tokens, mut outputs) = (Batch::default(), Vec::new(), Vec::new());
        for share in shares {
            let sequence = &mut self.running[share.index];
            sequence.begin();
            let end = sequence.cached + share.rows;
            // Grants cover what is planned, and promises what is granted.
            let grown = self.cache.grow(&mut sequence.place, end + share.guess.tokens.len());
            debug_assert!(grown, "promised blocks are there");
            let known = sequence.tokens[sequence.cached..end].iter().chain(&share.guess.tokens);
            let first = tokens.len();
            for (offset, &token) in known.enumerate() {
                batch.rows.push(BatchRow { sequence: batch.tables.len(), position: sequence.cached + offset });
                tokens.push(token);
            }
            batch.tables.push(sequence.place.table().to_vec());
            if sequence.reaches_end(share.rows) {
                outputs.extend(first + share.rows - 1..tokens.len());
                if let Some(constraint) = sequence.constraint.take() {
                    self.masks.begin(share.index, constraint, share.guess.tokens.clone());
                }
            }
        }
        let decode_only = shares.iter().all(|share| self.running[share.index].is_decoding());
        let listeners: Vec<_> = shares.iter().map(|share| self.running[share.index].listener().clone()).collect();
        let wanted = Wanted::new(move || listeners.iter().any(Listener::is_there));
        let Some((logits, seconds)) = self.model.forward_while(wanted, &tokens, batch, outputs) else {
            self.take_masks(); // of sequences that are about to be dropped, all of them
            return;
        };
        // A few rows of a prompt are cheaper than as many that are tried: only the last has logits.
        if decode_only || tokens.len() > MOST_ROWS {
            self.times.measured(tokens.len(), seconds);
        }
        self.draw(shares, logits);
    }

    /// Draws the tokens that a step was computed for.
    fn draw(&mut self, shares: &[Share], mut logits: Vec<f32>) {
        let mut masks = self.take_masks();
        let mut rows = logits.chunks_exact_mut(self.model.vocabulary());
        let (isa, context_length) = (self.model.isa(), self.limits.context_length);
        let mut ended = Vec::new();
        for share in shares {
            let sequence = &mut self.running[share.index];
            let draws = sequence.reaches_end(share.rows);
            sequence.cached += share.rows;
            if draws {
                let rows: Vec<_> = rows.by_ref().take(1 + share.guess.tokens.len()).collect();
                let tokenizer = &self.model.tokenizer;
                let over = match masks.remove(&share.index).unwrap_or_else(|| sequence.no_masks()) {
                    Ok(masks) => sequence.draw(isa, rows.into_iter(), &share.guess, &masks, tokenizer, context_length),
                    Err(error) => {
                        sequence.fail(error);
                        true
                    }
                };
                if over {
                    ended.push(share.index);
                }
            }
            self.cache.share(&mut sequence.place, &sequence.tokens[..sequence.cached]);
        }
        ended.sort_unstable();
        ended.into_iter().rev().for_each(|index| self.retire(index));
    }

    /// Waits for the masks of a step's constrained sequences, by the sequence.
    fn take_masks(&mut self) -> HashMap<usize, Result<Vec<TokenSet>, EngineError>> {
        let masked = self.masks.finish().into_iter().map(|Masked { owner, constraint, masks }| {
            self.running[owner].constraint = Some(constraint);
            (owner, masks.map_err(EngineError::from))
        });
        masked.collect()
    }

    /// Computes all positions of a token list in chunks, beside whatever runs.
    fn score(&mut self, ids: &[u32], top: usize) -> Scores {
        const CHUNK: usize = 64;
        if blocks_for(ids.len()) > self.unpromised() {
            return Err(EngineError::NoMemory);
        }
        let mut place = Place::default();
        let grown = self.cache.grow(&mut place, ids.len());
        debug_assert!(grown, "what is not promised is there");
        let mut positions = Vec::new();
        for (chunk, tokens) in ids.chunks(CHUNK).enumerate() {
            let rows = (0..tokens.len()).map(|i| BatchRow { sequence: 0, position: chunk * CHUNK + i }).collect();
            let batch = Batch { rows, tables: vec![place.table().to_vec()] };
            let logits = self.model.forward(tokens, batch, (0..tokens.len()).collect());
            for row in logits.chunks_exact(self.model.vocabulary()) {
                positions.push(self.model.top_logprobs(row, top));
            }
        }
        self.cache.discard(place);
        Ok(positions)
    }
}
