//! The handle that other crates hold: load a model, open sequences, read their events.

use std::{
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    task::{Context, Poll},
};

use tokio::sync::mpsc;

use super::{
    Compute, Device, DeviceError, EngineError, Event, Likelihood, SequenceOptions,
    likelihood::LikelihoodRequest,
    model::LoadedModel,
    scheduler::{Command, Counters, Scheduler, ScoreRequest},
    sequence::{Listener, Opened},
};
use crate::{
    gguf::GgufError,
    grammar::{GrammarCompiler, GrammarLimits},
    nn::WeightError,
    text::{ChatTemplate, TemplateError, Tokenizer, TokenizerError},
};

/// Commands that may wait for the engine's thread.
const COMMANDS: usize = 4096;

/// Limits of an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Sequences that decode together.
    pub max_running: usize,
    /// Sequences that may wait.
    pub max_queued: usize,
    /// Tokens of prompt and answer together; the model's own limit if that is lower.
    pub context_length: usize,
    /// Memory for keys and values: of sequences that run, and of past ones as long as nobody needs it. At least one whole
    /// context is kept, whatever this says.
    pub cache_bytes: usize,
    /// What it computes on.
    pub device: Device,
}

impl EngineOptions {
    /// Eight sequences of up to 8,192 tokens in 512 MiB, and 64 that wait, on the CPU.
    pub fn standard() -> Self {
        Self { max_running: 8, max_queued: 64, context_length: 8192, cache_bytes: 512 << 20, device: Device::Cpu }
    }
}

/// What is known of a loaded model.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// `general.architecture` of the file.
    pub architecture: String,
    /// Tokens of prompt and answer together.
    pub context_length: usize,
    /// Token ids are below this.
    pub vocab_size: usize,
    /// The model file's size.
    pub size_bytes: u64,
}

/// How busy an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineLoad {
    /// Sequences that prefill or decode.
    pub running: usize,
    /// Sequences that wait.
    pub queued: usize,
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read or is damaged.
    #[error(transparent)]
    File(#[from] GgufError),
    /// The file's vocabulary cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The file's chat template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// There is no such device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The file's weights do not make a model.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// There are token ids that the model has no embedding for.
    #[error("the vocabulary has {tokens} tokens, but there are embeddings for {embeddings}: the file is damaged")]
    Vocabulary {
        /// Tokens of the vocabulary.
        tokens: usize,
        /// Rows of the embedding matrix.
        embeddings: usize,
    },
    /// No address space for the cache.
    #[error("no memory for keys and values: lower the context length or the number of sequences")]
    Cache(#[source] std::io::Error),
    /// The engine's thread did not start.
    #[error("could not start the engine's thread")]
    Thread(#[source] std::io::Error),
}

/// A loaded model and the thread that runs it. Clones share it; the last one dropped stops the thread.
#[derive(Clone)]
pub struct Engine {
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
}

struct Shared {
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    grammars: GrammarCompiler,
    info: ModelInfo,
    options: EngineOptions,
    counters: Arc<Counters>,
    next_id: AtomicU64,
}

impl Engine {
    /// Reads a GGUF file, packs its weights and starts the engine's thread. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When the file is damaged, not supported or does not fit in memory.
    pub fn load(path: &Path, compute: &Arc<Compute>, options: EngineOptions) -> Result<Self, LoadError> {
        let loaded = LoadedModel::load(path, compute, &options)?;
        let (commands, receiver) = sync_channel(COMMANDS);
        let counters = Arc::<Counters>::default();
        let shared = Arc::new(Shared {
            tokenizer: loaded.model.tokenizer.clone(),
            template: loaded.template,
            grammars: GrammarCompiler::new(loaded.model.tokenizer.clone()),
            info: loaded.info,
            options,
            counters: counters.clone(),
            next_id: AtomicU64::new(0),
        });
        let scheduler = Scheduler::new(loaded.model, receiver, counters, loaded.limits);
        let thread = std::thread::Builder::new().name("synod-engine".to_owned());
        thread.spawn(move || scheduler.run()).map_err(LoadError::Thread)?;
        Ok(Self { commands, shared })
    }

    /// What is known of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.shared.info
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.shared.tokenizer
    }

    /// The model's chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.shared.template
    }

    /// How busy the engine is now.
    pub fn busy(&self) -> EngineLoad {
        let Counters { running, queued, .. } = &*self.shared.counters;
        EngineLoad { running: running.load(Relaxed), queued: queued.load(Relaxed) }
    }

    /// Which part of the memory for keys and values sequences hold, from 0 to 1. What is only kept for later is not counted:
    /// it gives way.
    pub fn cache_usage(&self) -> f64 {
        let Counters { blocks, held, .. } = &*self.shared.counters;
        held.load(Relaxed) as f64 / blocks.load(Relaxed).max(1) as f64
    }

    /// The limits it was loaded with.
    pub fn options(&self) -> &EngineOptions {
        &self.shared.options
    }

    /// Takes a place in the queue. The prompt is appended through the writer while the events are awaited; what is
    /// there is prefilled at once, and decoding starts when the writer is finished. Dropping the events frees the
    /// sequence within a step.
    ///
    /// Blocks while a grammar is compiled: milliseconds, for the first one up to seconds.
    ///
    /// # Errors
    /// When the queue is full, the grammar cannot be used, the sampling out of range or the engine has stopped.
    pub fn open(&self, options: SequenceOptions) -> Result<Sequence, EngineError> {
        options.sampling.validate().map_err(EngineError::InvalidSampling)?;
        let Shared { counters, options: limits, info, next_id, grammars, .. } = &*self.shared;
        let compile = |grammar| grammars.compile(grammar, &GrammarLimits::standard());
        let constraint = options.grammar.as_ref().map(compile).transpose()?;
        // The place is taken before the limit is checked, so that two callers cannot take the last one.
        if counters.queued.fetch_add(1, Relaxed) >= limits.max_queued {
            counters.queued.fetch_sub(1, Relaxed);
            let EngineLoad { running, queued } = self.busy();
            return Err(EngineError::QueueFull { running, queued });
        }
        let id = next_id.fetch_add(1, Relaxed);
        // Room for every event the sequence can have: the engine never waits for a reader.
        let most_events = options.max_tokens.clamp(1, info.context_length) + 2;
        let (sender, receiver) = mpsc::channel(most_events);
        let abandoned = Arc::new(AtomicBool::new(false));
        let listener = Listener { events: sender, abandoned: abandoned.clone() };
        let opened = Opened { id, options, constraint, listener };
        if let Err(error) = self.send(Command::Open(Box::new(opened))) {
            counters.queued.fetch_sub(1, Relaxed);
            return Err(error);
        }
        let prompt = PromptWriter { engine: self.clone(), id, length: 0, abandoned: Some(abandoned) };
        Ok(Sequence { prompt, events: Events { receiver, engine: self.clone() } })
    }

    /// The `top` likeliest tokens after each of `ids`, with their log-probabilities, best first. Blocks.
    ///
    /// # Errors
    /// When there are no ids, too many, or ids that do not exist.
    pub fn score(&self, ids: Vec<u32>, top: usize) -> Result<Vec<Vec<(u32, f32)>>, EngineError> {
        self.check_whole(&ids)?;
        let (reply, answer) = sync_channel(1);
        self.send(Command::Score(ScoreRequest { ids, top, reply }))?;
        answer.recv().map_err(|_| EngineError::Stopped)?
    }

    /// How likely `text` is directly after `beginning`, and the tokens `next` after both. What is in the cache of them is
    /// not computed again. Blocks.
    ///
    /// # Errors
    /// When there is no beginning, when they are too long, or when there are ids that do not exist.
    pub fn likelihood(&self, beginning: &[u32], text: &[u32], next: &[u32]) -> Result<Likelihood, EngineError> {
        let (from, ids) = (beginning.len(), [beginning, text].concat());
        self.check_whole(beginning)?;
        self.check_whole(&ids)?;
        self.check(next)?;
        let (reply, answer) = sync_channel(1);
        self.send(Command::Likelihood(LikelihoodRequest { ids, from, next: next.to_vec(), reply }))?;
        answer.recv().map_err(|_| EngineError::Stopped)?
    }

    /// There are ids, they exist, and the context holds them.
    fn check_whole(&self, ids: &[u32]) -> Result<(), EngineError> {
        let context_length = self.info().context_length;
        match ids.len() {
            0 => Err(EngineError::EmptyPrompt),
            n if n > context_length => Err(EngineError::PromptTooLong { prompt_tokens: n, context_length }),
            _ => self.check(ids),
        }
    }

    fn check(&self, ids: &[u32]) -> Result<(), EngineError> {
        let vocab_size = self.info().vocab_size;
        match ids.iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(EngineError::UnknownToken { id, vocab_size }),
            None => Ok(()),
        }
    }

    fn send(&self, command: Command) -> Result<(), EngineError> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => {
                let EngineLoad { running, queued } = self.busy();
                EngineError::QueueFull { running, queued }
            }
            TrySendError::Disconnected(_) => EngineError::Stopped,
        })
    }
}

/// A sequence that was admitted.
pub struct Sequence {
    /// Where its prompt is written.
    pub prompt: PromptWriter,
    /// What happens to it.
    pub events: Events,
}

/// The end of a sequence where its prompt is written. Dropping it without `finish` abandons the sequence.
pub struct PromptWriter {
    engine: Engine,
    id: u64,
    length: usize,
    /// Taken when the prompt is finished.
    abandoned: Option<Arc<AtomicBool>>,
}

impl PromptWriter {
    /// Appends tokens.
    ///
    /// # Errors
    /// When they leave no room for an answer or do not exist; nothing is appended then.
    pub fn append(&mut self, ids: &[u32]) -> Result<(), EngineError> {
        self.engine.check(ids)?;
        let (prompt_tokens, context_length) = (self.length + ids.len(), self.engine.info().context_length);
        if prompt_tokens >= context_length {
            return Err(EngineError::PromptTooLong { prompt_tokens, context_length });
        }
        self.engine.send(Command::Append(self.id, ids.to_vec()))?;
        self.length = prompt_tokens;
        Ok(())
    }

    /// Tokens appended so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Ends the prompt: decoding starts when it is prefilled.
    ///
    /// # Errors
    /// When the prompt is empty or the engine has stopped.
    pub fn finish(mut self) -> Result<(), EngineError> {
        if self.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        self.engine.send(Command::Close(self.id))?;
        self.abandoned = None;
        Ok(())
    }
}

impl Drop for PromptWriter {
    fn drop(&mut self) {
        if let Some(abandoned) = self.abandoned.take() {
            abandoned.store(true, Relaxed);
            let _ = self.engine.send(Command::Wake); // a busy engine looks anyway
        }
    }
}

/// What happens to a sequence, as a stream that ends after `Finished` or an error. Dropping it frees the sequence.
pub struct Events {
    receiver: mpsc::Receiver<Result<Event, EngineError>>,
    engine: Engine,
}

impl Events {
    /// The next event.
    pub async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        self.receiver.recv().await
    }

    /// The next event, for callers without a runtime.
    pub fn blocking_next(&mut self) -> Option<Result<Event, EngineError>> {
        self.receiver.blocking_recv()
    }
}

impl futures::Stream for Events {
    type Item = Result<Event, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.receiver.close();
        let _ = self.engine.send(Command::Wake); // a busy engine looks anyway
    }
}
