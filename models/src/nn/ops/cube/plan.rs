//! What every layer of a step reads beside its activations.

use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;

use super::Matrix;
use crate::nn::Step;

/// A step's batch in the device's memory.
pub(crate) struct Plan {
    /// `[rows, 2]` u32: where the row's block table begins in `tables`, and the token's position.
    pub(super) places: CubeTensor,
    /// The sequences' block tables, one after the other, u32.
    pub(super) tables: CubeTensor,
    /// Cosines and sines `[rows, head_dim / 2]` of each rotary embedding.
    pub(super) angles: Vec<(CubeTensor, CubeTensor)>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Plan {
    /// Copies the step's batch to the device of `like`, and makes room in the cache for the blocks it names.
    pub(super) fn upload(step: &Step, like: &Matrix) -> Self {
        let blocks = step.batch.tables.iter().flatten().max().map_or(0, |&block| block as usize + 1);
        step.workspace.device_cache().hold(blocks);
        let (mut starts, mut tables) = (Vec::new(), Vec::new());
        for table in &step.batch.tables {
            starts.push(tables.len() as u32);
            tables.extend_from_slice(table);
        }
        let rows = step.batch.rows.iter();
        let places: Vec<u32> = rows.flat_map(|row| [starts[row.sequence], row.position as u32]).collect();
        let angles = step.angles.iter().map(|angles| {
            (put(like, angles.cos(), DType::F32), put(like, angles.sin(), DType::F32)) //
        });
        Self {
            places: put(like, &places, DType::U32),
            tables: put(like, &tables, DType::U32),
            angles: angles.collect(),
        }
    }
}

/// `values` on the device of `like`.
fn put<T: bytemuck::NoUninit>(like: &Matrix, values: &[T], dtype: DType) -> CubeTensor {
    let (client, device) = (like.tensor.client.clone(), like.tensor.device.clone());
    let handle = client.create_from_slice(bytemuck::cast_slice(values));
    CubeTensor::new_contiguous(client, device, Shape::new([values.len()]), handle, dtype)
}
