//! The engine's thread: takes commands, plans steps, runs them, draws tokens.
//!
//! A step holds one row of every sequence that decodes, then as much of the waiting prompts as fits: a long prompt never
//! holds up the others for longer than a chunk (Sarathi-Serve, arXiv 2403.02310).

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvError, TryRecvError},
    },
};

use synod_kernels::attention::{Batch, BatchRow};

use super::{
    EngineError,
    blocks::BlockPool,
    model::LoadedModel,
    sequence::{Opened, Running},
};

/// Rows of a step at the most.
const STEP_ROWS: usize = 256;

/// What the engine's thread is told.
pub(super) enum Command {
    Open(Opened),
    Append(u64, Vec<u32>),
    Close(u64),
    /// Somebody has let go of a sequence: look.
    Wake,
    /// Score given tokens: all positions' likeliest tokens.
    Score(ScoreRequest),
}

/// Teacher-forced log-probabilities of a token list.
pub(super) struct ScoreRequest {
    pub(super) ids: Vec<u32>,
    pub(super) top: usize,
    pub(super) reply: std::sync::mpsc::SyncSender<Vec<Vec<(u32, f32)>>>,
}

/// Counters that handles read.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) running: AtomicUsize,
    pub(super) queued: AtomicUsize,
}

pub(super) struct Scheduler {
    model: LoadedModel,
    commands: Receiver<Command>,
    counters: Arc<Counters>,
    blocks: BlockPool,
    max_running: usize,
    context_length: usize,
    running: Vec<Running>,
    waiting: VecDeque<Running>,
}

impl Scheduler {
    pub(super) fn new(
        model: LoadedModel,
        commands: Receiver<Command>,
        counters: Arc<Counters>,
        blocks: usize,
        max_running: usize,
        context_length: usize,
    ) -> Self {
        let blocks = BlockPool::new(blocks);
        let (running, waiting) = (Vec::new(), VecDeque::new());
        Self { model, commands, counters, blocks, max_running, context_length, running, waiting }
    }

    /// Runs until every handle is gone.
    pub(super) fn run(mut self) {
        while self.take_commands().is_ok() {
            self.drop_abandoned();
            self.admit();
            if let Some(plan) = self.plan() {
                self.step(&plan);
            }
            self.counters.running.store(self.running.len(), Relaxed);
        }
        for sequence in self.running.iter_mut().chain(&mut self.waiting) {
            sequence.fail(EngineError::Stopped);
        }
    }

    /// Takes all commands that are there; waits for one if there is nothing to compute.
    fn take_commands(&mut self) -> Result<(), RecvError> {
        let idle = self.running.iter().all(|sequence| sequence.ready() == 0)
            && (self.waiting.is_empty() || self.running.len() >= self.max_running);
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
            Command::Open(opened) => self.waiting.push_back(Running::new(opened)),
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
            Command::Score(request) => self.score(request),
        }
    }

    fn find(&mut self, id: u64) -> Option<&mut Running> {
        self.running.iter_mut().chain(&mut self.waiting).find(|sequence| sequence.id == id)
    }

    fn drop_abandoned(&mut self) {
        let blocks = &mut self.blocks;
        self.running.retain_mut(|sequence| {
            let keep = !sequence.is_abandoned();
            if !keep {
                blocks.release(&mut sequence.table);
            }
            keep
        });
        let before = self.waiting.len();
        self.waiting.retain(|sequence| !sequence.is_abandoned());
        self.counters.queued.fetch_sub(before - self.waiting.len(), Relaxed);
    }

    fn admit(&mut self) {
        while self.running.len() < self.max_running
            && let Some(sequence) = self.waiting.pop_front()
        {
            self.counters.queued.fetch_sub(1, Relaxed);
            self.running.push(sequence);
        }
    }

    /// Which sequences compute how many rows: those that decode first, then prompts in order of arrival.
    fn plan(&self) -> Option<Vec<(usize, usize)>> {
        let mut left = STEP_ROWS;
        let mut plan: Vec<(usize, usize)> = Vec::new();
        for decode in [true, false] {
            for (index, sequence) in self.running.iter().enumerate() {
                let ready = sequence.ready();
                if ready > 0 && (ready == 1) == decode && left > 0 {
                    let rows = ready.min(left);
                    left -= rows;
                    plan.push((index, rows));
                }
            }
        }
        (!plan.is_empty()).then_some(plan)
    }

    fn step(&mut self, plan: &[(usize, usize)]) {
        let (mut batch, mut tokens, mut outputs, mut drawing) = (Batch::default(), Vec::new(), Vec::new(), Vec::new());
        for &(index, rows) in plan {
            let sequence = &mut self.running[index];
            sequence.begin();
            // The pool holds max_running whole contexts, and prompts and answers end at the context's length.
            let grown = self.blocks.grow(&mut sequence.table, sequence.cached + rows);
            debug_assert!(grown, "the pool holds every running sequence's context");
            let table = batch.tables.len();
            batch.tables.push(sequence.table.clone());
            for position in sequence.cached..sequence.cached + rows {
                batch.rows.push(BatchRow { sequence: table, position });
                tokens.push(sequence.tokens[position]);
            }
            if sequence.reaches_end(rows) {
                outputs.push(tokens.len() - 1);
                drawing.push(index);
            }
        }
        let mut logits = self.model.forward(&tokens, batch, outputs);
        for &(index, rows) in plan {
            self.running[index].cached += rows;
        }
        let isa = self.model.isa();
        let mut ended = Vec::new();
        for (row, index) in logits.chunks_exact_mut(self.model.vocabulary()).zip(drawing) {
            if self.running[index].advance(isa, row, &self.model.tokenizer, self.context_length) {
                ended.push(index);
            }
        }
        ended.sort_unstable();
        for index in ended.into_iter().rev() {
            let mut sequence = self.running.remove(index);
            self.blocks.release(&mut sequence.table);
        }
    }

    /// Computes all positions of a token list in chunks, beside whatever runs.
    fn score(&mut self, request: ScoreRequest) {
        const CHUNK: usize = 64;
        let ScoreRequest { ids, top, reply } = request;
        let mut table = Vec::new();
        let mut positions = Vec::new();
        if !self.blocks.grow(&mut table, ids.len()) {
            return; // the dropped reply tells
        }
        for (chunk, tokens) in ids.chunks(CHUNK).enumerate() {
            let rows = (0..tokens.len()).map(|i| BatchRow { sequence: 0, position: chunk * CHUNK + i }).collect();
            let batch = Batch { rows, tables: vec![table.clone()] };
            let logits = self.model.forward(tokens, batch, (0..tokens.len()).collect());
            for row in logits.chunks_exact(self.model.vocabulary()) {
                positions.push(self.model.top_logprobs(row, top));
            }
        }
        self.blocks.release(&mut table);
        let _ = reply.send(positions); // whoever asked may have gone
    }
}
