//! The models that a node hosts, by name.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use synod_models::{
    embed::{self, Embedder},
    engine::{self, Compute, Engine, EngineLoad, EngineOptions, SequenceOptions},
    store::Kind,
};
use synod_proto::v1;

use crate::{
    queue::RequestQueue,
    request::settled_sampling,
    speed::Speed,
    status::{NodeError, shorten},
};

/// A model to load: where it is, and what callers will know it by.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    /// The name callers ask for.
    pub name: String,
    /// Of the file, lower-case hexadecimal; reported, not checked here.
    pub sha256: String,
    /// What it is for.
    pub kind: Kind,
    /// A GGUF file, or the directory of an embedding model.
    pub path: PathBuf,
}

/// Limits and resources of each hosted model.
#[derive(Debug, Clone)]
pub struct ModelLimits {
    /// Threads that all models share, 0 for one a core.
    pub threads: usize,
    /// For chat and base models.
    pub engine: EngineOptions,
    /// Embedding requests that are computed at the same time.
    pub max_running_embeds: usize,
    /// Embedding requests that may wait.
    pub max_queued_embeds: usize,
}

/// What [`Host::load`] is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadProgress<'a> {
    /// A model's file is being read.
    Loading {
        /// The model.
        name: &'a str,
        /// Which of them, from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A model is ready.
    Loaded {
        /// The model.
        name: &'a str,
        /// Of its file.
        size_bytes: u64,
        /// How long that took.
        elapsed: Duration,
    },
}

/// Why a node's models could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is nothing to host.
    #[error("a node hosts one model at least: name one with --model")]
    NoModels,
    /// Two models have one name.
    #[error("the model `{name}` is named twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A chat or base model could not be loaded.
    #[error("cannot load the model `{name}`")]
    LoadEngine {
        /// The model.
        name: String,
        /// Why.
        #[source]
        source: engine::LoadError,
    },
    /// An embedding model could not be loaded.
    #[error("cannot load the embedding model `{name}`")]
    LoadEmbedder {
        /// The model.
        name: String,
        /// Why.
        #[source]
        source: embed::LoadError,
    },
}

/// Loaded models by name.
pub struct Host {
    models: BTreeMap<String, Hosted>,
}

impl Host {
    /// Loads the models one after the other, and says how far it is. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When there is no model, two have one name, or one cannot be loaded.
    pub fn load(
        specs: Vec<ModelSpec>,
        limits: &ModelLimits,
        mut progress: impl FnMut(LoadProgress<'_>),
    ) -> Result<Self, HostError> {
        let count = specs.len();
        let compute = Compute::new(limits.threads);
        let mut models = BTreeMap::new();
        for (index, spec) in specs.into_iter().enumerate() {
            if models.contains_key(&spec.name) {
                return Err(HostError::DuplicateName { name: spec.name });
            }
            progress(LoadProgress::Loading { name: &spec.name, index, count });
            let start = Instant::now();
            let name = spec.name.clone();
            let hosted = Hosted::load(spec, &compute, limits)?;
            progress(LoadProgress::Loaded { name: &name, size_bytes: hosted.size_bytes(), elapsed: start.elapsed() });
            models.insert(name, hosted);
        }
        if models.is_empty() { Err(HostError::NoModels) } else { Ok(Self { models }) }
    }

    /// Names of all models, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// What each model is and how busy.
    pub(crate) fn describe(&self) -> Vec<v1::HostedModel> {
        self.models.iter().map(|(name, hosted)| hosted.describe(name)).collect()
    }

    /// Which part of its memory for keys and values each chat or base model uses.
    pub(crate) fn cache_usage(&self) -> Vec<(String, f64)> {
        let usage = |(name, hosted): (&String, &Hosted)| match &hosted.model {
            Model::Writer(engine) => Some((name.clone(), engine.cache_usage())),
            Model::Encoder(_) => None,
        };
        self.models.iter().filter_map(usage).collect()
    }

    /// The chat or base model of that name.
    pub(crate) fn engine(&self, name: &str) -> Result<&Engine, NodeError> {
        match &self.find(name)?.model {
            Model::Writer(engine) => Ok(engine),
            Model::Encoder(_) => Err(wrong_kind(name, "is an embedding model and cannot write: use Embed")),
        }
    }

    /// The embedding model of that name.
    pub(crate) fn encoder(&self, name: &str) -> Result<&Encoder, NodeError> {
        match &self.find(name)?.model {
            Model::Encoder(encoder) => Ok(encoder),
            Model::Writer(_) => Err(wrong_kind(name, "is not an embedding model: use Generate")),
        }
    }

    /// Where calls of that model tell how long they took.
    pub(crate) fn speed(&self, name: &str) -> Result<&Arc<Speed>, NodeError> {
        Ok(&self.find(name)?.speed)
    }

    /// What a record of a prompt for that model begins with: all but the prompt.
    pub(crate) fn record(&self, name: &str, options: &SequenceOptions) -> Result<v1::PromptRecord, NodeError> {
        Ok(v1::PromptRecord {
            stretches: Vec::new(),
            model_sha256: self.find(name)?.sha256.clone(),
            template_sha256: self.engine(name)?.template().sha256().unwrap_or_default(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            sampling: Some(settled_sampling(options)),
        })
    }

    fn find(&self, name: &str) -> Result<&Hosted, NodeError> {
        let unknown =
            || NodeError::UnknownModel { name: shorten(name), hosted: self.names().map(str::to_owned).collect() };
        self.models.get(name).ok_or_else(unknown)
    }
}

fn wrong_kind(name: &str, what: &str) -> NodeError {
    NodeError::invalid("model", format!("`{name}` {what}"))
}

/// A loaded model with what its manifest says of it.
struct Hosted {
    kind: Kind,
    sha256: String,
    model: Model,
    speed: Arc<Speed>,
}

enum Model {
    Writer(Engine),
    Encoder(Encoder),
}

/// A model that embeds, and the queue before it.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    pub(crate) embedder: Arc<Embedder>,
    pub(crate) queue: RequestQueue,
}

impl Hosted {
    fn load(spec: ModelSpec, compute: &Arc<Compute>, limits: &ModelLimits) -> Result<Self, HostError> {
        let ModelSpec { name, sha256, kind, path } = spec;
        let model = match kind {
            Kind::Chat | Kind::Base => {
                let engine = Engine::load(&path, compute, limits.engine.clone());
                Model::Writer(engine.map_err(|source| HostError::LoadEngine { name, source })?)
            }
            Kind::Embedding => {
                let embedder = Embedder::load(&path).map_err(|source| HostError::LoadEmbedder { name, source })?;
                let queue = RequestQueue::new(limits.max_running_embeds, limits.max_queued_embeds);
                Model::Encoder(Encoder { embedder: Arc::new(embedder), queue })
            }
        };
        Ok(Self { kind, sha256, model, speed: Arc::default() })
    }

    fn size_bytes(&self) -> u64 {
        match &self.model {
            Model::Writer(engine) => engine.info().size_bytes,
            Model::Encoder(encoder) => encoder.embedder.size_bytes(),
        }
    }

    fn describe(&self, name: &str) -> v1::HostedModel {
        let (context_length, EngineLoad { running, queued }, max_running, max_queued) = match &self.model {
            Model::Writer(engine) => {
                let EngineOptions { max_running, max_queued, .. } = *engine.options();
                (engine.info().context_length, engine.busy(), max_running, max_queued)
            }
            Model::Encoder(Encoder { embedder, queue }) => {
                (embedder.max_tokens(), queue.busy(), queue.max_running(), queue.max_queued())
            }
        };
        let kind = match self.kind {
            Kind::Chat => v1::ModelKind::Chat,
            Kind::Base => v1::ModelKind::Base,
            Kind::Embedding => v1::ModelKind::Embedding,
        };
        v1::HostedModel {
            name: name.to_owned(),
            sha256: self.sha256.clone(),
            kind: kind.into(),
            context_length: wire(context_length),
            size_bytes: self.size_bytes(),
            running: wire(running),
            queued: wire(queued),
            max_running: wire(max_running),
            max_queued: wire(max_queued),
            prefill_tok_s: self.speed.measured().prefill,
            decode_tok_s: self.speed.measured().decode,
        }
    }
}

/// A count as the protocol carries it.
pub(crate) fn wire(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
