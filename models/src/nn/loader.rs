//! From a GGUF file's tensors to modules.

use std::sync::Arc;

use burn::{
    module::Param,
    tensor::{Device, Tensor, TensorData},
};
use half::f16;
use synod_kernels::{Arena, Format, PackError, PackedMatrix, Packer};

use super::{PackedLinear, RmsNorm, Weight};
use crate::gguf::{self, GgmlType, GgufError, GgufFile};

/// Why weights could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The file lacks a tensor that the architecture needs.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// A tensor's shape does not fit the architecture.
    #[error("tensor `{name}` has shape {found:?} (fastest dimension first) where {expected:?} is needed")]
    Shape {
        /// The tensor.
        name: String,
        /// What the file has.
        found: Vec<usize>,
        /// What the hyperparameters say.
        expected: Vec<usize>,
    },
    /// A tensor's rows do not divide into blocks, or memory ran out.
    #[error("could not pack tensor `{name}`")]
    Pack {
        /// The tensor.
        name: String,
        /// Why.
        source: PackError,
    },
    /// A hyperparameter is missing, of the wrong type or makes no sense.
    #[error(transparent)]
    Metadata(#[from] GgufError),
    /// A hyperparameter makes no sense.
    #[error("{0}")]
    Hyperparameter(String),
}

/// Reads tensors by name, and lets go of the file's pages behind itself.
pub struct Loader<'a> {
    file: &'a GgufFile,
    device: Device,
    arena: Arena,
    /// The layers of the file that are loaded, if not all.
    excerpt: Option<&'a [usize]>,
}

impl<'a> Loader<'a> {
    /// A loader that puts what it reads on `device`.
    pub fn new(file: &'a GgufFile, device: &Device) -> Self {
        Self { file, device: device.clone(), arena: Arena::default(), excerpt: None }
    }

    /// The same for a model that consists of these layers of the file's.
    pub fn with_layers(self, layers: &'a [usize]) -> Self {
        Self { excerpt: Some(layers), ..self }
    }

    /// What the file calls `part` of the model's `layer`.
    pub fn part_of(&self, layer: usize, part: &str) -> String {
        let layer = self.excerpt.map_or(layer, |layers| layers[layer]);
        format!("blk.{layer}.{part}")
    }

    /// Where tensors are put.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether the file has tensor `name`.
    pub fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    /// `name.weight` and, if there is one, `name.bias` as a linear layer.
    pub fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<PackedLinear, WeightError> {
        let weight = self.matrix(&format!("{name}.weight"), inputs, outputs)?;
        let weight = Weight::place(weight, &self.device);
        let bias_name = format!("{name}.bias");
        let bias = if self.has(&bias_name) { Some(self.vector(&bias_name, outputs)?) } else { None };
        Ok(PackedLinear { weight, bias })
    }

    /// `name` as a linear layer, or the token embeddings where the file has none (a tied output head).
    pub fn linear_or_tied(&self, name: &str, embeddings: &Arc<PackedMatrix>) -> Result<PackedLinear, WeightError> {
        if self.has(&format!("{name}.weight")) {
            return self.linear(name, embeddings.columns(), embeddings.rows());
        }
        Ok(PackedLinear { weight: Weight::place(embeddings.clone(), &self.device), bias: None })
    }

    /// `name.weight` as a norm.
    pub fn norm(&self, name: &str, width: usize, epsilon: f32) -> Result<RmsNorm, WeightError> {
        Ok(RmsNorm { weight: self.vector(&format!("{name}.weight"), width)?, epsilon })
    }

    /// `[outputs, inputs]`, packed in its own format, in memory. Unquantised matrices (F32, F16, BF16) are quantised to Q8_0, which
    /// is as fine as the activations they meet.
    pub fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Arc<PackedMatrix>, WeightError> {
        let tensor = self.tensor(name, &[inputs, outputs])?;
        let format = packed_format(tensor.ty);
        let failed = |source| WeightError::Pack { name: name.to_owned(), source };
        let mut packer = Packer::new(&self.arena, format, outputs, inputs).map_err(failed)?;
        if matches!(tensor.ty, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16) {
            packer.pack_all(&to_q8_0(tensor.ty, tensor.data, inputs)?, |_| {});
        } else {
            packer.pack_all(tensor.data, |done| self.file.release_head(name, done));
        }
        Ok(Arc::new(packer.finish()))
    }

    /// A tensor of one dimension, as f32.
    pub fn floats(&self, name: &str, length: usize) -> Result<Vec<f32>, WeightError> {
        let tensor = self.tensor(name, &[length])?;
        let mut values = vec![0.0; length];
        gguf::dequantize(tensor.ty, tensor.data, &mut values)?;
        Ok(values)
    }

    fn vector(&self, name: &str, length: usize) -> Result<Param<Tensor<1>>, WeightError> {
        let values = self.floats(name, length)?;
        Ok(Param::from_tensor(Tensor::from_data(TensorData::new(values, [length]), &self.device)))
    }

    fn tensor(&self, name: &str, expected: &[usize]) -> Result<gguf::TensorView<'_>, WeightError> {
        let tensor = self.file.tensor(name).ok_or_else(|| WeightError::Missing(name.to_owned()))?;
        if tensor.shape != expected {
            let (found, expected) = (tensor.shape.to_vec(), expected.to_vec());
            return Err(WeightError::Shape { name: name.to_owned(), found, expected });
        }
        Ok(tensor)
    }
}

/// The format that a tensor's weights are held in: its own, or Q8_0 for unquantised ones.
pub(crate) fn packed_format(ty: GgmlType) -> Format {
    match ty {
        GgmlType::Q4_0 => Format::Q4_0,
        GgmlType::Q4_1 => Format::Q4_1,
        GgmlType::Q5_0 => Format::Q5_0,
        GgmlType::Q5_1 => Format::Q5_1,
        GgmlType::Q8_0 => Format::Q8_0,
        GgmlType::Q4_K => Format::Q4_K,
        GgmlType::Q5_K => Format::Q5_K,
        GgmlType::Q6_K => Format::Q6_K,
        GgmlType::F32 | GgmlType::F16 | GgmlType::BF16 => Format::Q8_0,
    }
}

/// Rounds unquantised weights to ggml's Q8_0: per 32 an f16 scale and 32 signed bytes.
fn to_q8_0(ty: GgmlType, data: &[u8], columns: usize) -> Result<Vec<u8>, GgufError> {
    let mut out = Vec::new();
    let mut row = vec![0.0f32; columns];
    for source in data.chunks_exact(columns * ty.type_size() / ty.block_size()) {
        gguf::dequantize(ty, source, &mut row)?;
        for block in row.chunks_exact(32) {
            let largest = block.iter().fold(0f32, |a, x| a.max(x.abs()));
            let scale = f16::from_f32(largest / 127.0);
            let inverse = if scale.to_f32() > 0.0 { 1.0 / scale.to_f32() } else { 0.0 };
            out.extend(scale.to_le_bytes());
            out.extend(block.iter().map(|x| (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8));
        }
    }
    Ok(out)
}
