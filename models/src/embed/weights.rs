//! Named tensors of a safetensors file, each checked against the shape that its reader expects.

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

/// Why weights could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The file's header is damaged, or the file is cut short.
    #[error("the file is not a whole safetensors file")]
    Header(#[source] SafeTensorError),
    /// The file does not hold a tensor that the model needs.
    #[error("tensor `{name}` is missing")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor's shape is not what the configuration says.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// As `config.json` has it.
        expected: Vec<usize>,
        /// As the file has it.
        found: Vec<usize>,
    },
    /// A tensor's numbers are not of the type that this reader knows.
    #[error("tensor `{name}` holds {found}, expected F32")]
    Type {
        /// The tensor.
        name: String,
        /// As the file has it.
        found: Dtype,
    },
}

/// The tensors of a safetensors file in memory.
#[derive(Debug)]
pub struct Weights<'a> {
    tensors: SafeTensors<'a>,
}

impl<'a> Weights<'a> {
    /// Reads the header; every offset in it is checked against the file.
    ///
    /// # Errors
    /// When the header is damaged or the file does not end where its tensors do.
    pub fn parse(file: &'a [u8]) -> Result<Self, WeightError> {
        Ok(Self { tensors: SafeTensors::deserialize(file).map_err(WeightError::Header)? })
    }

    /// The tensor `name`, copied to `device`.
    ///
    /// # Errors
    /// When it is missing, or has another shape or type.
    pub fn tensor<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, WeightError> {
        let view = self.tensors.tensor(name).map_err(|_| WeightError::Missing { name: name.to_owned() })?;
        if view.shape() != shape {
            let found = view.shape().to_vec();
            return Err(WeightError::Shape { name: name.to_owned(), expected: shape.to_vec(), found });
        }
        if view.dtype() != Dtype::F32 {
            return Err(WeightError::Type { name: name.to_owned(), found: view.dtype() });
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }
}
