//! What happens to single rows between the matrices: norms, quantisation, gates.
//!
//! Written as plain loops over 16 lanes, which every tier compiles to its own registers: the results are the same on all
//! of them.

use crate::{Activations, Isa, Team, activations, linear::Out};

/// The gate of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// x·σ(x) (SwiGLU).
    Silu,
    /// GELU by tanh (GeGLU as Gemma has it).
    GeluTanh,
}

/// Calls `$body` compiled for the tier.
macro_rules! by_tier {
    ($isa:expr, $body:ident($($arg:ident: $type:ty),*)) => { by_tier!($isa, $body($($arg: $type),*) -> ()) };
    ($isa:expr, $body:ident($($arg:ident: $type:ty),*) -> $result:ty) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
        unsafe fn on_avx512($($arg: $type),*) -> $result { $body($($arg),*) }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn on_avx2($($arg: $type),*) -> $result { $body($($arg),*) }
        match $isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a tier is only chosen where the machine has it.
            $crate::Isa::Avx512Vnni => unsafe { on_avx512($($arg),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            $crate::Isa::AvxVnni | $crate::Isa::Avx2 => unsafe { on_avx2($($arg),*) },
            _ => $body($($arg),*),
        }
    }};
}
pub(crate) use by_tier;

impl Gate {
    /// `gates[i] = gate(gates[i]) · ups[i]`; lengths are multiples of 16.
    pub(crate) fn apply(self, isa: Isa, gates: &mut [f32], ups: &[f32]) {
        match self {
            Self::Silu => by_tier!(isa, silu(gates: &mut [f32], ups: &[f32])),
            Self::GeluTanh => by_tier!(isa, gelu(gates: &mut [f32], ups: &[f32])),
        }
    }
}

#[inline(always)]
fn silu(gates: &mut [f32], ups: &[f32]) {
    for (gate, up) in gates.as_chunks_mut::<16>().0.iter_mut().zip(ups.as_chunks::<16>().0) {
        for lane in 0..16 {
            let x = gate[lane];
            gate[lane] = x / (1.0 + exp(-x)) * up[lane];
        }
    }
}

#[inline(always)]
fn gelu(gates: &mut [f32], ups: &[f32]) {
    for (gate, up) in gates.as_chunks_mut::<16>().0.iter_mut().zip(ups.as_chunks::<16>().0) {
        for lane in 0..16 {
            let x = gate[lane];
            // tanh(z) = 1 − 2/(1 + e^2z), so ½x(1 + tanh z) = x − x/(1 + e^2z)
            let z = 0.797_884_6 * (x + 0.044_715 * x * x * x);
            gate[lane] = (x - x / (1.0 + exp(2.0 * z))) * up[lane];
        }
    }
}

/// e^x to within 2 units in the last place, as arithmetic that vectorises: 2^n · p(r) with r = x − n·ln 2, |r| ≤ ½ ln 2
/// (Cephes' `expf`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + c;
    }
    let p = p * r * r + r + 1.0;
    let power = (shifted.to_bits() as i32 - MAGIC.to_bits() as i32 + 127) << 23;
    p * f32::from_bits(power as u32)
}

/// Of the polynomial that is 2^r for |r| ≤ ½ to 10⁻⁷ of it, and exact at 0; highest power first.
#[allow(clippy::approx_constant, reason = "fitted: not quite ln 2")]
pub(crate) const EXP2: [f32; 6] = [1.326_472_7e-3, 9.671_513e-3, 5.550_733_6e-2, 0.240_222_42, 0.693_147, 1.0];

/// 2^x for x ≤ 0, to 2·10⁻⁷ of it; 2^−126 for what is less.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let x = x.max(-126.0);
    let shifted = x + MAGIC;
    let r = x - (shifted - MAGIC);
    let p = EXP2.into_iter().fold(0.0, |p, c| p * r + c);
    let power = (shifted.to_bits() as i32 - MAGIC.to_bits() as i32 + 127) << 23;
    p * f32::from_bits(power as u32)
}

/// Root-mean-square norm (arXiv 1910.07467) of each row of `x` `[rows, width]` times `weight`, quantised.
pub fn rms_norm_quantize(team: &Team, x: &[f32], weight: &[f32], epsilon: f32, out: &mut Activations) {
    let width = weight.len();
    out.resize(x.len() / width, width);
    let writer = out.writer();
    let isa = team.isa();
    over_rows(team, x.len() / width, width, &|row| {
        // SAFETY: each row is one item's.
        let target = &mut unsafe { writer.row(row) };
        let x = &x[row * width..][..width];
        let scale = by_tier!(isa, inverse_rms(x: &[f32], epsilon: f32) -> f32);
        activations::quantize_scaled(isa, x, scale, weight, target);
    });
}

/// Quantises each row of `x` `[rows, width]`.
pub fn quantize(team: &Team, x: &[f32], width: usize, out: &mut Activations) {
    out.resize(x.len() / width, width);
    let writer = out.writer();
    let isa = team.isa();
    over_rows(team, x.len() / width, width, &|row| {
        // SAFETY: each row is one item's.
        let target = &mut unsafe { writer.row(row) };
        activations::quantize(isa, &x[row * width..][..width], target);
    });
}

/// Root-mean-square norm of each row of `x` `[rows, width]` times `weight`, added to `out`: a norm behind a block, as
/// Gemma has it.
pub fn rms_norm_add(team: &Team, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    assert_eq!(x.len(), out.len());
    let out = Out { start: out.as_mut_ptr(), width };
    let isa = team.isa();
    over_rows(team, x.len() / width, width, &|row| {
        // SAFETY: each row is one item's.
        let target = unsafe { out.slice(row, 0, width) };
        let x = &x[row * width..][..width];
        by_tier!(isa, norm_row_added(x: &[f32], weight: &[f32], epsilon: f32, target: &mut [f32]));
    });
}

/// Rows are cheap: few rows stay on the calling thread.
pub(crate) fn over_rows(team: &Team, rows: usize, width: usize, f: &(dyn Fn(usize) + Sync)) {
    let chunk = (8192 / width.max(1)).max(1);
    team.run(rows.div_ceil(chunk), &|item| (item * chunk..((item + 1) * chunk).min(rows)).for_each(f));
}

#[inline(always)]
fn norm_row_added(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = inverse_rms(x, epsilon);
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out += x * scale * weight;
    }
}

/// 1 / √(mean(x²) + ε), summed in 16 lanes so that every tier adds in the same order.
#[inline(always)]
pub(crate) fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut lanes = [0f32; 16];
    for chunk in chunks {
        for lane in 0..16 {
            lanes[lane] += chunk[lane] * chunk[lane];
        }
    }
    let sum = lanes.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>();
    1.0 / (sum / x.len() as f32 + epsilon).sqrt()
}

/// ln Σ e^x, the normaliser of a softmax over logits.
pub fn log_sum_exp(isa: Isa, x: &[f32]) -> f32 {
    by_tier!(isa, log_sum_exp_plain(x: &[f32]) -> f32)
}

#[inline(always)]
fn log_sum_exp_plain(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut tops = [f32::NEG_INFINITY; 16];
    let mut poison = [0f32; 16]; // 0, or not a number as soon as one of x is not
    for chunk in chunks {
        for lane in 0..16 {
            tops[lane] = if chunk[lane] > tops[lane] { chunk[lane] } else { tops[lane] };
            poison[lane] += chunk[lane] * 0.0;
        }
    }
    let top = tops.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let mut sums = [0f32; 16];
    for chunk in chunks {
        for lane in 0..16 {
            sums[lane] += exp(chunk[lane] - top);
        }
    }
    let sum = sums.iter().sum::<f32>() + rest.iter().map(|x| exp(x - top)).sum::<f32>();
    let poison = poison.iter().sum::<f32>() + rest.iter().map(|x| x * 0.0).sum::<f32>();
    top + sum.ln() + poison
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_a_few_units_in_the_last_place() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got - want).abs() <= 4e-7 * want, "exp({x}) = {got}, want {want}");
            let x = -x.abs();
            let (got, want) = (f64::from(exp2(x)), f64::from(x).exp2());
            assert!((got - want).abs() <= 2e-7 * want, "exp2({x}) = {got}, want {want}");
        }
    }

    #[test]
    fn gates_equal_their_definitions() {
        let xs: Vec<f32> = (-32..32).map(|i| i as f32 / 5.0).collect();
        let ups = vec![2.0; 64];
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let (mut silu, mut gelu) = (xs.clone(), xs.clone());
            Gate::Silu.apply(isa, &mut silu, &ups);
            Gate::GeluTanh.apply(isa, &mut gelu, &ups);
            for (i, &x) in xs.iter().enumerate() {
                let x = f64::from(x);
                let want_silu = 2.0 * x / (1.0 + (-x).exp());
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                let want_gelu = x * (1.0 + inner.tanh());
                assert!((f64::from(silu[i]) - want_silu).abs() < 1e-5, "{isa:?} silu {x}");
                assert!((f64::from(gelu[i]) - want_gelu).abs() < 1e-5, "{isa:?} gelu {x}");
            }
        }
    }
}
