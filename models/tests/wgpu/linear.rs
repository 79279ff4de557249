//! Linear layers, norms and gates.

use std::sync::Arc;

use synod_kernels::{Format, KvShape, PackedMatrix};
use synod_models::nn::{Batch, FeedForward, Gate, Step, ops};

use crate::random::{devices, linear, matrix, noise, norm, read, weights, workspace};

const NO_CACHE: KvShape = KvShape { layers: 1, kv_heads: 1, head_dim: 16 };

/// x·Wᵀ + b in f64, and Σ|x·w| of each output: what rounding is measured against.
fn product(x: &[f64], matrix: &PackedMatrix, bias: &[f32]) -> Vec<(f64, f64)> {
    let mut row = vec![0.0; matrix.columns()];
    let mut out = Vec::new();
    for x in x.chunks_exact(matrix.columns()) {
        for (output, bias) in bias.iter().enumerate() {
            matrix.row(output, &mut row);
            let terms = || x.iter().zip(&row).map(|(x, w)| x * f64::from(*w));
            out.push((terms().sum::<f64>() + f64::from(*bias), terms().map(f64::abs).sum()));
        }
    }
    out
}

fn rms_norm(x: &[f32], weight: &[f32]) -> Vec<f64> {
    let rows = x.chunks_exact(weight.len()).flat_map(|x| {
        let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
        x.iter().zip(weight).map(move |(x, w)| f64::from(*x) / (mean + 1e-5).sqrt() * f64::from(*w))
    });
    rows.collect()
}

/// Root of the mean square of `a − b` over that of `b`.
#[track_caller]
fn check_distance(what: &str, a: &[f32], b: &[f32], bound: f64) {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(a - b))).sum();
    let size: f64 = b.iter().map(|b| square(f64::from(*b))).sum();
    assert!((apart / size).sqrt() < bound, "{what}: {} apart, {bound} allowed", (apart / size).sqrt());
}

/// The GPU is held to rounding of f32; the CPU, which quantises what it multiplies to int8, is a percent away from both.
fn check_format(format: Format, rows: usize) {
    let (columns, outputs) = (512, 83);
    let seed = rows as u64 * 31 + format.bits() as u64;
    let first = Arc::new(weights(format, outputs, columns, seed));
    let second = Arc::new(weights(format, 16, columns, seed ^ 5));
    let (x, weight, bias) = (noise(rows * columns, seed ^ 6), noise(columns, seed ^ 7), noise(outputs, seed ^ 8));
    let [cpu, gpu] = devices().map(|device| {
        let step = Step::new(Batch::default(), Vec::new(), &[], &workspace(&device, NO_CACHE, 1));
        let layers = [linear(&first, Some(&bias), &device), linear(&second, None, &device)];
        let x = matrix(&x, columns, &device);
        read(ops::norm_linear(&x, &norm(&weight, &device), &[&layers[0], &layers[1]], &step))
    });
    let normed = rms_norm(&x, &weight);
    let (left, right) = (product(&normed, &first, &bias), product(&normed, &second, &[0.0; 16]));
    let want = left.chunks_exact(outputs).zip(right.chunks_exact(16)).flat_map(|(left, right)| [left, right].concat());
    for (at, ((want, size), got)) in want.zip(&gpu).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= 2e-6 * size + 1e-6, "{format:?}, {rows} rows, {at}: {got} for {want}");
    }
    check_distance(&format!("{format:?}, {rows} rows"), &cpu, &gpu, 0.02);
}

#[test]
fn norm_linear_unpacks_every_format() {
    for format in Format::ALL {
        check_format(format, 1);
        check_format(format, 11);
    }
}

#[test]
fn gates_and_residuals_are_the_cpus() {
    let (width, inner, rows) = (256, 320, 5);
    for (activation, post) in [(Gate::Silu, false), (Gate::GeluTanh, true)] {
        let [gate, up] = [1, 2].map(|seed| Arc::new(weights(Format::Q4_1, inner, width, seed)));
        let down = Arc::new(weights(Format::Q5_0, width, inner, 3));
        let (x, weight) = (noise(rows * width, 4), noise(width, 5));
        let [cpu, gpu] = devices().map(|device| {
            let step = Step::new(Batch::default(), Vec::new(), &[], &workspace(&device, NO_CACHE, 1));
            let layer = FeedForward {
                norm: norm(&weight, &device),
                gate: linear(&gate, None, &device),
                up: linear(&up, None, &device),
                down: linear(&down, None, &device),
                post_norm: post.then(|| norm(&weight, &device)),
                activation,
            };
            read(layer.forward(matrix(&x, width, &device), &step))
        });
        check_distance(&format!("{activation:?}"), &cpu, &gpu, 0.02);
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let (columns, outputs, rows) = (1024, 40, 13);
    let packed = Arc::new(weights(Format::Q6_K, outputs, columns, 1));
    let (x, weight) = (noise(rows * columns, 2), noise(columns, 3));
    let [_, device] = devices();
    let step = Step::new(Batch::default(), Vec::new(), &[], &workspace(&device, NO_CACHE, 1));
    let (layer, norm) = (linear(&packed, None, &device), norm(&weight, &device));
    let run = |x: &[f32]| read(ops::norm_linear(&matrix(x, columns, &device), &norm, &[&layer], &step));
    let alone: Vec<f32> = x.chunks_exact(columns).flat_map(run).collect();
    assert_eq!(run(&x), alone);
}

#[test]
fn no_rows_are_no_work() {
    let [_, device] = devices();
    let step = Step::new(Batch::default(), Vec::new(), &[], &workspace(&device, NO_CACHE, 1));
    let layer = linear(&Arc::new(weights(Format::Q8_0, 32, 64, 1)), None, &device);
    let x = ops::select_rows(matrix(&noise(128, 1), 64, &device), &[]);
    let out = ops::norm_linear(&x, &norm(&noise(64, 2), &device), &[&layer], &step);
    assert!(read(out).is_empty());
}
