//! A model in memory: weights, tokenizer, template and the workspace it computes in.

use std::{path::Path, sync::Arc, time::Instant};

use synod_kernels::{Isa, attention::Batch, elementwise::log_sum_exp};

use super::{
    Compute, EngineOptions, LoadError, ModelInfo,
    cache::{Copy, blocks_for},
    sampler::likeliest,
    scheduler::Limits,
};
use crate::{
    arch::{self, CausalLm},
    gguf::GgufFile,
    nn::{Step, Wanted, Workspace},
    text::{ChatTemplate, Tokenizer},
};

/// Everything a step needs but the sequences.
pub(super) struct LoadedModel {
    lm: Box<dyn CausalLm>,
    pub(super) tokenizer: Arc<Tokenizer>,
    workspace: Arc<Workspace>,
    compute: Arc<Compute>,
}

/// What loading a file yields: the model for the engine's thread, and what handles share.
pub(super) struct Loaded {
    pub(super) model: LoadedModel,
    pub(super) template: ChatTemplate,
    pub(super) info: ModelInfo,
    pub(super) limits: Limits,
}

impl LoadedModel {
    pub(super) fn load(path: &Path, compute: &Arc<Compute>, options: &EngineOptions) -> Result<Loaded, LoadError> {
        let file = GgufFile::open(path)?;
        let tokenizer = Tokenizer::from_gguf(&file)?;
        let template = ChatTemplate::from_gguf(&file, &tokenizer)?;
        let device = options.device.open()?;
        let lm = arch::load(&file, &device)?;
        let config = lm.config();
        let context_length = config.context_length.min(options.context_length);
        let info = ModelInfo {
            architecture: file.architecture()?.to_owned(),
            context_length,
            vocab_size: config.vocabulary,
            size_bytes: std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
        };
        if tokenizer.vocab_size() > config.vocabulary {
            return Err(LoadError::Vocabulary { tokens: tokenizer.vocab_size(), embeddings: config.vocabulary });
        }
        let blocks = blocks(Workspace::block_bytes(&device, lm.kv_shape()), context_length, options);
        let limits = Limits { max_running: options.max_running, context_length, blocks };
        let workspace = Workspace::new(compute.team().clone(), &device, lm.kv_shape(), blocks);
        let workspace = Arc::new(workspace.map_err(LoadError::Cache)?);
        let tokenizer = Arc::new(tokenizer);
        Ok(Loaded { model: Self { lm, tokenizer, workspace, compute: compute.clone() }, template, info, limits })
    }

    /// Logits of the `outputs` rows, `[outputs, vocabulary]`.
    pub(super) fn forward(&self, tokens: &[u32], batch: Batch, outputs: Vec<usize>) -> Vec<f32> {
        match self.forward_while(Wanted::default(), tokens, batch, outputs) {
            Some((logits, _)) => logits,
            None => unreachable!("it was wanted"),
        }
    }

    /// The same, and how many seconds it took once it was our turn; none if it was given up.
    pub(super) fn forward_while(
        &self,
        wanted: Wanted,
        tokens: &[u32],
        batch: Batch,
        outputs: Vec<usize>,
    ) -> Option<(Vec<f32>, f32)> {
        let _turn = self.compute.turn();
        let started = Instant::now();
        let step = Step::new(batch, outputs, self.lm.ropes(), &self.workspace).as_long_as(wanted);
        match self.lm.forward(tokens, &step)?.into_data().try_into_vec() {
            Ok(logits) => Some((logits, started.elapsed().as_secs_f32())),
            Err(error) => unreachable!("logits are f32: {error:?}"),
        }
    }

    /// Copies keys and values of whole blocks.
    pub(super) fn copy_blocks(&self, copies: &[Copy]) {
        for &Copy { from, to } in copies {
            self.workspace.copy_block(from as usize, to as usize);
        }
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.lm.config().vocabulary
    }

    pub(super) fn isa(&self) -> Isa {
        self.workspace.team().isa()
    }

    /// The likeliest tokens of a row of logits with their log-probabilities, best first.
    pub(super) fn top_logprobs(&self, logits: &[f32], top: usize) -> Vec<(u32, f32)> {
        let total = log_sum_exp(self.isa(), logits);
        likeliest(logits, top).into_iter().map(|(id, logit)| (id, logit - total)).collect()
    }
}

/// Blocks of the cache: what the memory allows, at least one whole context and at most one for each sequence.
fn blocks(block_bytes: usize, context_length: usize, options: &EngineOptions) -> usize {
    let context = blocks_for(context_length);
    (options.cache_bytes / block_bytes).clamp(context, context * options.max_running.max(1))
}
