//! Numbers, weights and places to compute in.

use std::sync::Arc;

use burn::{
    module::Param,
    tensor::{Device, Tensor, TensorData},
};
use synod_kernels::{Format, KvShape, PackedMatrix, Team};
use synod_models::{
    engine,
    nn::{PackedLinear, RmsNorm, Weight, Workspace},
};

/// The CPU, then the GPU.
pub(crate) fn devices() -> [Device; 2] {
    [engine::Device::Cpu, engine::Device::Wgpu].map(|device| device.open().unwrap())
}

/// Numbers from −1 to 1.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

/// Random blocks of a format with finite, moderate scales.
pub(crate) fn weights(format: Format, rows: usize, columns: usize, seed: u64) -> PackedMatrix {
    let count = rows * format.file_row_bytes(columns);
    let mut data: Vec<u8> = noise(count, seed).into_iter().map(|x| (x * 128.0) as i8 as u8).collect();
    let halves: &[usize] = match format {
        Format::Q6_K => &[208],
        _ if format.has_min() => &[0, 2],
        _ => &[0],
    };
    let values = noise(count / format.file_block_bytes() * 2, seed ^ 77);
    for (block, values) in data.chunks_exact_mut(format.file_block_bytes()).zip(values.chunks_exact(2)) {
        for (&at, &value) in halves.iter().zip(values) {
            block[at..at + 2].copy_from_slice(&half::f16::from_f32(value * 0.01).to_le_bytes());
        }
    }
    PackedMatrix::pack(format, rows, columns, &data).unwrap()
}

pub(crate) fn linear(matrix: &Arc<PackedMatrix>, bias: Option<&[f32]>, device: &Device) -> PackedLinear {
    PackedLinear { weight: Weight::place(matrix.clone(), device), bias: bias.map(|bias| vector(bias, device)) }
}

pub(crate) fn norm(weight: &[f32], device: &Device) -> RmsNorm {
    RmsNorm { weight: vector(weight, device), epsilon: 1e-5 }
}

pub(crate) fn vector(values: &[f32], device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device))
}

pub(crate) fn matrix(values: &[f32], width: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / width, width]), device)
}

pub(crate) fn read(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

pub(crate) fn workspace(device: &Device, shape: KvShape, blocks: usize) -> Arc<Workspace> {
    Arc::new(Workspace::new(Arc::new(Team::new(2)), device, shape, blocks).unwrap())
}
