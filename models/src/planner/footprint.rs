//! Memory.

use synod_kernels::{BLOCK_TOKENS, Format, KvShape};

use crate::{
    arch::Config,
    engine::STEP_ROWS,
    gguf::GgufFile,
    nn::{WeightError, packed_format},
};

/// The program, its threads and what it has loaded, in bytes.
const PROGRAM: u64 = 24 << 20;
/// What a byte-level tokenizer keeps of a token: its text twice, its merge and their tables.
const BYTE_LEVEL_ENTRY: u64 = 420;
/// What SentencePiece's keeps: its text, its score and a place in a table.
const SENTENCE_PIECE_ENTRY: u64 = 46;

/// A precision that weights could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// IEEE single.
    F32,
    /// IEEE half or bfloat16.
    F16,
    /// In panels of a quantised format.
    Quantised(Format),
}

/// The precisions that people choose among, best first.
pub const PRECISIONS: [Precision; 6] = [
    Precision::F32,
    Precision::F16,
    Precision::Quantised(Format::Q8_0),
    Precision::Quantised(Format::Q6_K),
    Precision::Quantised(Format::Q5_K),
    Precision::Quantised(Format::Q4_K),
];

impl Precision {
    /// Its name, as in file names.
    pub fn name(self) -> String {
        match self {
            Self::F32 => "F32".to_owned(),
            Self::F16 => "F16".to_owned(),
            Self::Quantised(format) => format!("{format:?}"),
        }
    }

    fn bytes(self, matrix: &Matrix) -> u64 {
        let values = (matrix.rows * matrix.columns) as u64;
        match self {
            Self::F32 => values * 4,
            Self::F16 => values * 2,
            // Rows that do not divide into super-blocks of 256 keep a format of 32.
            Self::Quantised(format) if !matrix.columns.is_multiple_of(format.file_block()) => {
                Format::Q5_1.packed_bytes(matrix.rows, matrix.columns) as u64
            }
            Self::Quantised(format) => format.packed_bytes(matrix.rows, matrix.columns) as u64,
        }
    }
}

/// A matrix that activations are multiplied by, or that embeddings are looked up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// How it is held in memory.
    pub format: Format,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// What it is for.
    pub place: Place,
}

/// What a matrix is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Part of this layer, from 0.
    Layer(usize),
    /// The output head: only rows that write are multiplied by it.
    Head,
    /// Only looked up in.
    Table,
}

/// What a model file holds, as far as memory and speed depend on it.
#[derive(Debug, Clone)]
pub struct Footprint {
    /// The architecture's hyperparameters.
    pub config: Config,
    /// Numbers in the file.
    pub parameters: u64,
    /// Its matrices.
    pub matrices: Vec<Matrix>,
    /// Bytes of vectors: norms and biases.
    pub vectors: u64,
    /// Bytes of the tokenizer.
    pub tokenizer: u64,
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Weights.
    pub weights: u64,
    /// Keys and values of all sequences.
    pub cache: u64,
    /// What a step computes in.
    pub activations: u64,
    /// Program and tokenizer.
    pub overhead: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.cache + self.activations + self.overhead
    }
}

impl Footprint {
    /// Reads the header of a model's file.
    ///
    /// # Errors
    /// When it is no language model of an architecture that we know.
    pub fn of(file: &GgufFile) -> Result<Self, WeightError> {
        let config = Config::read(file)?;
        let has_head = file.tensor("output.weight").is_some();
        let entry = match file.str("tokenizer.ggml.model")? {
            Some("llama") => SENTENCE_PIECE_ENTRY,
            _ => BYTE_LEVEL_ENTRY,
        };
        let tokenizer = config.vocabulary as u64 * entry;
        let mut footprint = Self { config, parameters: 0, matrices: Vec::new(), vectors: 0, tokenizer };
        for tensor in file.tensors() {
            footprint.parameters += tensor.values() as u64;
            let &[columns, rows] = tensor.shape else {
                footprint.vectors += tensor.values() as u64 * 4;
                continue;
            };
            footprint.matrices.push(Matrix {
                format: packed_format(tensor.ty),
                rows,
                columns,
                place: match layer(tensor.name) {
                    Some(layer) => Place::Layer(layer),
                    None if tensor.name == "output.weight" || !has_head => Place::Head,
                    None => Place::Table,
                },
            });
        }
        Ok(footprint)
    }

    /// Bytes of the weights as the file has them, in memory.
    pub fn weights(&self) -> u64 {
        let matrices =
            self.matrices.iter().map(|matrix| matrix.format.packed_bytes(matrix.rows, matrix.columns) as u64);
        matrices.sum::<u64>() + self.vectors
    }

    /// Bytes that the weights would take at another precision.
    pub fn weights_at(&self, precision: Precision) -> u64 {
        self.matrices.iter().map(|matrix| precision.bytes(matrix)).sum::<u64>() + self.vectors
    }

    /// What is kept of a token.
    pub fn kv_shape(&self) -> KvShape {
        let Config { layers, kv_heads, head_dim, .. } = self.config;
        KvShape { layers, kv_heads, head_dim }
    }

    /// Bytes of keys and values a token.
    pub fn cache_per_token(&self) -> u64 {
        (self.kv_shape().block_bytes() / BLOCK_TOKENS) as u64
    }

    /// Memory for `sequences` that are `context` tokens long.
    pub fn memory(&self, context: usize, sequences: usize) -> Memory {
        let Config { width, inner, heads, kv_heads, head_dim, vocabulary, .. } = self.config;
        let blocks = context.div_ceil(BLOCK_TOKENS) * sequences;
        let row = 2 * width + (heads + 2 * kv_heads) * head_dim + heads * head_dim + inner + inner.max(width) / 4;
        Memory {
            weights: self.weights(),
            cache: (blocks * self.kv_shape().block_bytes()) as u64,
            activations: ((STEP_ROWS * row + sequences * vocabulary) * 4) as u64,
            overhead: PROGRAM + self.tokenizer,
        }
    }

    /// The rule of thumb: two bytes a parameter, and a fifth more.
    pub fn rule_of_thumb(&self) -> u64 {
        self.parameters * 2 * 6 / 5
    }
}

/// The layer that a tensor belongs to by its name, as in `blk.3.attn_q.weight`.
fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
