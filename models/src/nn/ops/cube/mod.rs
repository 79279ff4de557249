//! The GPU's bodies, as CubeCL kernels.
//!
//! Weights stay quantised in the device's memory ([`DeviceMatrix`]) and are unpacked where they are multiplied; activations
//! are f32, and so are the cached keys and values ([`DeviceKvCache`]). Nothing is read back before a step's logits.

mod attention;
mod cache;
mod gate;
mod linear;
mod matrix;
mod norm;
mod plan;
mod rotate;

use burn::{
    backend::{Cube, tensor::FloatTensor},
    module::Param,
    tensor::{DType, Shape, Tensor},
};
use burn_cubecl::{
    cubecl::{client::Client, prelude::BufferArg},
    kernel::into_contiguous,
    ops::numeric::empty_device_dtype,
    tensor::CubeTensor,
};

pub use self::matrix::DeviceMatrix;
pub(crate) use self::{cache::DeviceKvCache, plan::Plan};
use super::DecoderOps;
use crate::nn::{FeedForward, PackedLinear, RmsNorm, SelfAttention, Step};

impl DecoderOps for Cube {
    fn norm_linear(x: FloatTensor<Self>, norm: &RmsNorm, to: &[&PackedLinear], _: &Step) -> FloatTensor<Self> {
        let x = Matrix::new(x);
        let normed = norm::rms_norm(&x, norm, None);
        let out = x.empty(to.iter().map(|linear| linear.outputs()).sum());
        let mut column = 0;
        for linear in to {
            linear::linear(&normed, linear, None, &out, column);
            column += linear.outputs();
        }
        out.tensor
    }

    fn norm_gated(x: FloatTensor<Self>, layer: &FeedForward, _: &Step) -> FloatTensor<Self> {
        let x = Matrix::new(x);
        let normed = norm::rms_norm(&x, &layer.norm, None);
        let inner = layer.gate.outputs();
        let both = x.empty(2 * inner);
        linear::linear(&normed, &layer.gate, None, &both, 0);
        linear::linear(&normed, &layer.up, None, &both, inner);
        gate::gate(&both, layer.activation).tensor
    }

    fn attend(qkv: FloatTensor<Self>, layer: &SelfAttention, step: &Step) -> FloatTensor<Self> {
        let qkv = Matrix::new(qkv);
        let plan = step.plan.get_or_init(|| Plan::upload(step, &qkv));
        let (keys, values) = step.workspace.device_cache().layer(layer.layer);
        let queries = rotate::rotate_and_store(&qkv, layer, plan, &keys, &values);
        attention::attend(&queries, layer, plan, keys, values).tensor
    }

    fn linear_add(
        inner: FloatTensor<Self>,
        to: &PackedLinear,
        norm: Option<&RmsNorm>,
        x: FloatTensor<Self>,
        _: &Step,
    ) -> FloatTensor<Self> {
        let (inner, x) = (Matrix::new(inner), Matrix::new(x));
        let out = x.empty(x.width);
        match norm {
            None => linear::linear(&inner, to, Some(&x), &out, 0),
            Some(norm) => {
                linear::linear(&inner, to, None, &out, 0);
                return norm::rms_norm(&out, norm, Some(&x)).tensor;
            }
        }
        out.tensor
    }
}

/// A tensor `[rows, width]` whose rows lie one after the other.
struct Matrix {
    tensor: CubeTensor,
    rows: usize,
    width: usize,
}

impl Matrix {
    fn new(tensor: CubeTensor) -> Self {
        let tensor = into_contiguous(tensor);
        let [rows, width] = tensor.meta.shape().dims();
        Self { tensor, rows, width }
    }

    /// Room for as many rows of another width, on the same device.
    fn empty(&self, width: usize) -> Self {
        let (client, device) = (self.tensor.client.clone(), self.tensor.device.clone());
        let tensor = empty_device_dtype(client, device, Shape::new([self.rows, width]), DType::F32);
        Self { tensor, rows: self.rows, width }
    }

    fn client(&self) -> &Client {
        &self.tensor.client
    }

    /// As an argument of a kernel.
    fn arg(&self) -> BufferArg {
        arg(&self.tensor)
    }
}

fn arg(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}

/// A parameter's tensor, shared.
fn vector(parameter: &Param<Tensor<1>>) -> CubeTensor {
    on_cube(parameter.val().try_into_primitive::<Cube>())
}

/// The backend's own tensor of one that is on it.
fn on_cube(converted: Result<CubeTensor, impl std::fmt::Debug>) -> CubeTensor {
    match converted {
        Ok(tensor) => tensor,
        Err(error) => unreachable!("parameters are on the device of the activations: {error:?}"),
    }
}
