//! Vectors as 16-bit integers and one f32 scale, the arithmetic of attention: finer than f16 and twice as
//! fast to multiply as f32, and exact, so that every tier and every order of adding gives the same.

use crate::activations::round;

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
    /// For a query or a key; its length is a multiple of 16.
    #[inline(always)]
    pub(crate) fn by_norm(vector: &[f32]) -> Self {
        let (mut squares, mut largest) = ([0f32; 16], [0f32; 16]);
        for chunk in vector.as_chunks::<16>().0 {
            for lane in 0..16 {
                squares[lane] += chunk[lane] * chunk[lane];
                largest[lane] = largest[lane].max(chunk[lane].abs());
            }
        }
        let norm = fold(squares, |a, b| a + b).sqrt();
        Self::new((norm * (1.0 / LONGEST)).max(fold(largest, f32::max) * (1.0 / LARGEST)))
    }

    /// For a value; its length is a multiple of 16.
    #[inline(always)]
    pub(crate) fn by_largest(vector: &[f32]) -> Self {
        let mut lanes = [0f32; 16];
        for chunk in vector.as_chunks::<16>().0 {
            for lane in 0..16 {
                lanes[lane] = lanes[lane].max(chunk[lane].abs());
            }
        }
        Self::new(fold(lanes, f32::max) * (1.0 / LARGEST_VALUE))
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

    /// The nearest integers, ties to even; some integer for what is not a number.
    #[inline(always)]
    pub(crate) fn integers(self, values: &[f32; 16]) -> [i16; 16] {
        values.map(|x| round((x * self.inverse).clamp(-LARGEST, LARGEST)) as i16)
    }
}

/// What 16 lanes come to, in four steps side by side.
#[inline(always)]
fn fold(mut lanes: [f32; 16], by: impl Fn(f32, f32) -> f32) -> f32 {
    for width in [8, 4, 2, 1] {
        for lane in 0..width {
            lanes[lane] = by(lanes[lane], lanes[lane + width]);
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(a: &[f32], b: &[f32]) -> (i32, f32) {
        let (by, of) = (Scale::by_norm(a), Scale::by_norm(b));
        let integers = |scale: Scale, vector: &[f32]| -> Vec<i32> {
            let chunks = vector.as_chunks::<16>().0.iter();
            chunks.flat_map(|chunk| scale.integers(chunk)).map(i32::from).collect()
        };
        // Debug builds panic where a sum overflows.
        (integers(by, a).iter().zip(integers(of, b)).map(|(a, b)| a * b).sum(), by.value * of.value)
    }

    #[test]
    fn no_product_overflows_whatever_the_vectors_look_like() {
        for shape in
            [|_| 1.0, |i| if i == 3 { -1.0 } else { 0.0 }, |i| (i as f32).sin(), |i| if i == 0 { 900.0 } else { 0.5 }]
        {
            let vector: Vec<f32> = (0..256).map(shape).collect();
            let square: f32 = vector.iter().map(|x| x * x).sum();
            let (integer, scale) = product(&vector, &vector);
            assert!((integer as f32 * scale / square - 1.0).abs() < 3e-4, "{integer} · {scale} for {square}");
        }
    }

    #[test]
    fn anything_becomes_finite() {
        for odd in [0.0, 1e-38, 3e38, f32::INFINITY, f32::NAN] {
            let vector = [odd; 16];
            for scale in [Scale::by_norm(&vector), Scale::by_largest(&vector), Scale::of_weights(odd, odd)] {
                assert!(scale.value.is_finite() && scale.value > 0.0, "{scale:?} for {odd}");
                let _ = scale.integers(&vector); // debug builds panic where one does not fit
            }
        }
    }
}
