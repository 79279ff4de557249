//! Vectors as 16-bit integers and one f32 scale, the arithmetic of attention: finer than f16 and twice as
//! fast to multiply as f32, and exact, so that every tier and every order of adding gives the same.

#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::{Isa, activations};

/// The largest ‖integers‖ of queries and keys: by Cauchy and Schwarz their products, and whatever part of them, add up to
/// less than 2³¹.
const LONGEST: f32 = 46_000.0;
/// The largest integer of a value, and the largest sum of weights: their products add up to less than 2³¹ too. A weight is
/// rounded no coarser, beside a block's 64 in all, than a value beside its largest.
const LARGEST_VALUE: f32 = 8_175.0;
const WEIGHTS: f32 = 262_000.0;
/// The largest of 16 bits.
const LARGEST: f32 = 32_700.0;

/// A vector's scale, and what makes integers of its values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// What integers are multiplied by.
    pub(crate) value: f32,
    /// What values are multiplied by, before rounding.
    pub(crate) inverse: f32,
}

impl Scale {
    /// For a query or a key.
    #[inline(always)]
    fn of_product(norm: f32, largest: f32) -> Self {
        Self::new((norm * (1.0 / LONGEST)).max(largest * (1.0 / LARGEST)))
    }

    /// For a value.
    #[inline(always)]
    fn of_value(_norm: f32, largest: f32) -> Self {
        Self::new(largest * (1.0 / LARGEST_VALUE))
    }

    /// For a block's weights.
    #[inline(always)]
    pub(crate) fn of_weights(sum: f32, largest: f32) -> Self {
        Self::new((sum * (1.0 / WEIGHTS)).max(largest * (1.0 / LARGEST)))
    }

    #[inline(always)]
    #[allow(clippy::manual_clamp, reason = "`clamp` would let through what is not a number")]
    fn new(value: f32) -> Self {
        let value = value.max(1e-30).min(1e30);
        Self { value, inverse: 1.0 / value }
    }

    /// The nearest integers, ties to even; some integers for what is not finite.
    #[inline(always)]
    pub(crate) fn integers(self, values: &[f32; 16]) -> [i16; 16] {
        let mut integers = [0; 16];
        for lane in 0..16 {
            integers[lane] = activations::round(values[lane] * self.inverse) as i16;
        }
        integers
    }
}

/// Rounds a query or a key and returns its scale; lengths are multiples of 16.
#[inline(always)]
pub(crate) fn round_product(isa: Isa, vector: &[f32], integers: &mut [i16]) -> f32 {
    round(isa, vector, integers, Scale::of_product)
}

/// Rounds a value and returns its scale; lengths are multiples of 16.
#[inline(always)]
pub(crate) fn round_value(isa: Isa, vector: &[f32], integers: &mut [i16]) -> f32 {
    round(isa, vector, integers, Scale::of_value)
}

#[inline(always)]
fn round(isa: Isa, vector: &[f32], integers: &mut [i16], by: impl Fn(f32, f32) -> Scale) -> f32 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a tier is only chosen where the machine has it.
        Isa::Avx512Vnni => unsafe { avx512::round(vector, integers, by) },
        _ => round_plain(vector, integers, by),
    }
}

/// What 16 lanes come to: halves by halves, on all tiers.
#[inline(always)]
fn fold(mut lanes: [f32; 16], by: impl Fn(f32, f32) -> f32) -> f32 {
    for width in [8, 4, 2, 1] {
        for lane in 0..width {
            lanes[lane] = by(lanes[lane], lanes[lane + width]);
        }
    }
    lanes[0]
}

#[inline(always)]
fn round_plain(vector: &[f32], integers: &mut [i16], by: impl Fn(f32, f32) -> Scale) -> f32 {
    let (mut squares, mut largest) = ([0f32; 16], [0f32; 16]);
    for chunk in vector.as_chunks::<16>().0 {
        for lane in 0..16 {
            squares[lane] += chunk[lane] * chunk[lane];
            largest[lane] = if chunk[lane].abs() > largest[lane] { chunk[lane].abs() } else { largest[lane] };
        }
    }
    let scale = by(fold(squares, |a, b| a + b).sqrt(), fold(largest, f32::max));
    for (chunk, integers) in vector.as_chunks::<16>().0.iter().zip(integers.as_chunks_mut::<16>().0) {
        *integers = scale.integers(chunk);
    }
    scale.value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(isa: Isa, a: &[f32], b: &[f32]) -> (i32, f32) {
        let mut integers = [vec![0; a.len()], vec![0; b.len()]];
        let scale = round_product(isa, a, &mut integers[0]) * round_product(isa, b, &mut integers[1]);
        // Debug builds panic where a sum overflows.
        (integers[0].iter().zip(&integers[1]).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum(), scale)
    }

    #[test]
    fn no_product_overflows_whatever_the_vectors_look_like() {
        for shape in
            [|_| 1.0, |i| if i == 3 { -1.0 } else { 0.0 }, |i| (i as f32).sin(), |i| if i == 0 { 900.0 } else { 0.5 }]
        {
            let vector: Vec<f32> = (0..256).map(shape).collect();
            let square: f32 = vector.iter().map(|x| x * x).sum();
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let (integer, scale) = product(isa, &vector, &vector);
                assert!((integer as f32 * scale / square - 1.0).abs() < 3e-4, "{integer} · {scale} for {square}");
            }
        }
    }

    #[test]
    fn tiers_round_to_the_same_bits() {
        for length in [16, 64, 80, 256] {
            let vector: Vec<f32> = (0..length).map(|i| (i as f32 * 2.3).sin() * 7.0).collect();
            let on = |isa: Isa| {
                let (mut product, mut value) = (vec![0; length], vec![0; length]);
                let scales = (round_product(isa, &vector, &mut product), round_value(isa, &vector, &mut value));
                (scales, product, value)
            };
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                assert_eq!(on(isa), on(Isa::Portable), "{isa:?}");
            }
        }
    }

    #[test]
    fn anything_becomes_finite() {
        for odd in [0.0, 1e-38, 3e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let vector = [odd; 16];
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let (mut product, mut value) = ([0; 16], [0; 16]);
                for scale in [
                    round_product(isa, &vector, &mut product),
                    round_value(isa, &vector, &mut value),
                    Scale::of_weights(odd, odd).value,
                ] {
                    assert!(scale.is_finite() && scale > 0.0, "{isa:?}: {scale:?} for {odd}");
                }
            }
        }
    }
}
