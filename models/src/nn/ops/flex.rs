//! The CPU's bodies, on `synod-kernels`.

use std::borrow::Cow;

use burn::{
    backend::{Flex, flex::FlexTensor, tensor::FloatTensor},
    module::Param,
    tensor::{Bytes, DType, Shape, Tensor},
};
use synod_kernels::{
    elementwise::{quantize, rms_norm_add, rms_norm_quantize},
    linear::{self, Part, Write},
    rope,
};

use super::DecoderOps;
use crate::nn::{FeedForward, PackedLinear, RmsNorm, SelfAttention, Step};

impl DecoderOps for Flex {
    fn norm_linear(x: FloatTensor<Self>, norm: &RmsNorm, to: &[&PackedLinear], step: &Step) -> FloatTensor<Self> {
        let (team, mut activations) = (step.workspace.team(), step.workspace.activations());
        let weight = vector(&norm.weight);
        rms_norm_quantize(team, &matrix(&x), slice(&weight), norm.epsilon, &mut activations);
        let biases: Vec<_> = to.iter().map(|linear| linear.bias.as_ref().map(vector)).collect();
        let parts: Vec<_> = to
            .iter()
            .zip(&biases)
            .map(|(linear, bias)| Part { weights: linear.weight.host(), bias: bias.as_ref().map(slice) })
            .collect();
        let width = to.iter().map(|linear| linear.outputs()).sum();
        let mut out = vec![0.0; activations.rows() * width];
        linear::linear(team, &parts, &activations, Write::Replace, &mut out);
        tensor(out, width)
    }

    fn norm_gated(x: FloatTensor<Self>, layer: &FeedForward, step: &Step) -> FloatTensor<Self> {
        let (team, mut activations) = (step.workspace.team(), step.workspace.activations());
        let weight = vector(&layer.norm.weight);
        rms_norm_quantize(team, &matrix(&x), slice(&weight), layer.norm.epsilon, &mut activations);
        let width = layer.gate.outputs();
        let mut out = vec![0.0; activations.rows() * width];
        linear::gated(team, layer.gate.weight.host(), layer.up.weight.host(), layer.activation, &activations, &mut out);
        tensor(out, width)
    }

    fn attend(mut qkv: FloatTensor<Self>, layer: &SelfAttention, step: &Step) -> FloatTensor<Self> {
        let workspace = &step.workspace;
        let (team, mut cache, mut vectors) = (workspace.team(), workspace.cache(), workspace.vectors());
        let norms = layer.head_norms.as_ref().map(|norms| (vector(&norms.query.weight), vector(&norms.key.weight)));
        let norms = norms.as_ref().zip(layer.head_norms.as_ref()).map(|((query, key), norms)| rope::HeadNorms {
            query: slice(query),
            key: slice(key),
            epsilon: norms.query.epsilon,
        });
        let qkv = qkv.storage_mut::<f32>();
        let (heads, batch, angles) = (layer.heads, &step.batch, &step.angles[layer.angles]);
        let SelfAttention { rope, layer: place, window, .. } = layer;
        rope::rotate_and_store(team, qkv, heads, norms, rope, angles, batch, &mut cache, *place, &mut vectors);
        let width = heads.heads * heads.head_dim;
        let mut out = vec![0.0; batch.rows.len() * width];
        synod_kernels::attention::attend(team, &vectors, heads, *window, batch, &cache, *place, &mut out);
        tensor(out, width)
    }

    fn linear_add(
        inner: FloatTensor<Self>,
        to: &PackedLinear,
        norm: Option<&RmsNorm>,
        mut x: FloatTensor<Self>,
        step: &Step,
    ) -> FloatTensor<Self> {
        let (team, mut activations) = (step.workspace.team(), step.workspace.activations());
        quantize(team, &matrix(&inner), to.inputs(), &mut activations);
        let bias = to.bias.as_ref().map(vector);
        let part = [Part { weights: to.weight.host(), bias: bias.as_ref().map(slice) }];
        let sum = x.storage_mut::<f32>();
        match norm {
            None => linear::linear(team, &part, &activations, Write::Add, sum),
            Some(norm) => {
                let mut out = vec![0.0; sum.len()];
                linear::linear(team, &part, &activations, Write::Replace, &mut out);
                rms_norm_add(team, &out, slice(&vector(&norm.weight)), norm.epsilon, sum);
            }
        }
        x
    }
}

fn tensor(values: Vec<f32>, width: usize) -> FlexTensor {
    let shape = Shape::new([values.len() / width, width]);
    FlexTensor::new(Bytes::from_elems(values), burn::backend::flex::Layout::contiguous(shape), DType::F32)
}

/// A parameter's tensor, shared.
fn vector(parameter: &Param<Tensor<1>>) -> FlexTensor {
    match parameter.val().try_into_primitive::<Flex>() {
        Ok(tensor) => tensor,
        Err(error) => unreachable!("parameters are on the device of the activations: {error:?}"),
    }
}

/// Its values.
fn slice(tensor: &FlexTensor) -> &[f32] {
    let Some(values) = tensor.as_slice() else { unreachable!("parameters are contiguous and f32") };
    values
}

/// The values of a matrix, copied only if it is a view.
fn matrix(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(slice(&tensor.to_contiguous()).to_vec()),
    }
}
