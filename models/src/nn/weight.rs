//! Where a linear layer's weights lie.

use std::sync::Arc;

use burn::tensor::Device;
use synod_kernels::PackedMatrix;

#[cfg(feature = "wgpu")]
use super::DeviceMatrix;

/// A weight matrix `[outputs, inputs]` in its quantised format, where its device reads it. Clones share it.
#[derive(Debug, Clone)]
pub enum Weight {
    /// In memory, as the CPU's kernels read it.
    Host(Arc<PackedMatrix>),
    /// In the device's memory.
    #[cfg(feature = "wgpu")]
    Device(Arc<DeviceMatrix>),
}

impl Weight {
    /// `matrix`, uploaded if `device` is not the CPU.
    pub fn place(matrix: Arc<PackedMatrix>, device: &Device) -> Self {
        #[cfg(feature = "wgpu")]
        if *device != Device::flex() {
            return Self::Device(Arc::new(DeviceMatrix::upload(&matrix, device)));
        }
        let _ = device;
        Self::Host(matrix)
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        match self {
            Self::Host(matrix) => matrix.rows(),
            #[cfg(feature = "wgpu")]
            Self::Device(matrix) => matrix.rows(),
        }
    }

    /// Inputs.
    pub fn columns(&self) -> usize {
        match self {
            Self::Host(matrix) => matrix.columns(),
            #[cfg(feature = "wgpu")]
            Self::Device(matrix) => matrix.columns(),
        }
    }

    /// The matrix of a layer that runs on the CPU.
    pub(super) fn host(&self) -> &PackedMatrix {
        match self {
            Self::Host(matrix) => matrix,
            #[cfg(feature = "wgpu")]
            Self::Device(matrix) => unreachable!("weights are on the device of the activations: {matrix:?}"),
        }
    }

    /// The matrix of a layer that runs on a device.
    #[cfg(feature = "wgpu")]
    pub(super) fn on_device(&self) -> &DeviceMatrix {
        match self {
            Self::Device(matrix) => matrix,
            Self::Host(matrix) => unreachable!("weights are on the device of the activations: {matrix:?}"),
        }
    }
}
