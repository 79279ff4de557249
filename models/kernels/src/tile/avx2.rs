//! 256-bit tiers: the same panels, 8 rows at a time.

use std::arch::x86_64::*;

use super::{Panel, RowTile, TileOut, by_format};
use crate::format::{BLOCK, Format};

/// A tier's kernels; `$multiply_add` adds the products of four codes and four activations to each lane. Where it takes
/// codes of 8 bits as they lie, `$unsigned`, sums start from minus what their offset adds; else it makes them signed.
macro_rules! tier {
    ($tier:ident, $features:tt, $multiply_add:ident, unsigned: $unsigned:literal) => {
        pub(super) mod $tier {
            use super::*;

            /// # Safety
            /// The machine has the tier's instructions; panel and rows hold what their shapes say and agree on `columns`.
            pub(in crate::tile) unsafe fn multiply(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
                // SAFETY: handed down.
                unsafe { by_format!(panel.format, by_rows(panel, x, out)) }
            }

            /// # Safety
            /// As [`multiply`].
            unsafe fn by_rows<const F: u8>(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
                // Sixteen registers hold one row's work at most twice; rows share the codes through the first-level cache.
                for first in (0..x.rows).step_by(2) {
                    for half in 0..2 {
                        // SAFETY: handed down.
                        unsafe {
                            if x.rows - first >= 2 {
                                tile::<F, 2>(panel, x, first, half, out);
                            } else {
                                tile::<F, 1>(panel, x, first, half, out);
                            }
                        }
                    }
                }
            }

            /// Rows `first..first + R` times the lanes `half * 8..half * 8 + 8`.
            ///
            /// # Safety
            /// As [`multiply`], and `first + R <= x.rows`, `half < 2`.
            #[target_feature(enable = $features)]
            unsafe fn tile<const F: u8, const R: usize>(
                panel: Panel<'_>,
                x: RowTile<'_>,
                first: usize,
                half: usize,
                out: &mut TileOut,
            ) {
                let format = Format::ALL[F as usize];
                let blocks = panel.columns / BLOCK;
                let per_file_block = format.file_block() / BLOCK;
                let codes_at = panel.bytes.as_ptr();
                // SAFETY: the scales lie behind the codes of all blocks.
                let scales_at = unsafe { codes_at.add(format.scales_at(panel.columns)) };
                let mut sums = [_mm256_setzero_ps(); R];
                for block in 0..blocks {
                    let sub = block % per_file_block;
                    // SAFETY: `block < blocks`: codes and scales lie within the panel, activations within the tile.
                    unsafe {
                        let weights = load_codes::<F>(codes_at.add(block * format.code_bytes()), half);
                        let at = scales_at.add(block / per_file_block * format.scale_bytes());
                        let d = halves(at.add(half * 16));
                        let mut min =
                            if format.has_min() { halves(at.add(32 + half * 16)) } else { _mm256_setzero_ps() };
                        let mut scale = d;
                        if matches!(format, Format::Q4_K | Format::Q5_K) {
                            let subs = at.add(64 + sub * 32 + half * 8);
                            scale = _mm256_mul_ps(d, bytes(subs));
                            min = _mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(min, bytes(subs.add(16))));
                        }
                        for row in 0..R {
                            let line = x.lines.as_ptr().add(block * x.rows + first + row);
                            let q = (*line).codes.as_ptr().cast::<i32>();
                            let starts = match format {
                                Format::Q6_K => (*line).half_starts,
                                Format::Q4_0 => [(*line).starts[0], 0],
                                Format::Q5_0 => [(*line).starts[1], 0],
                                Format::Q8_0 if $unsigned => [(*line).starts[2], 0],
                                _ => [0, 0],
                            };
                            let dots = [0, 1].map(|part| {
                                dot4::<F>(_mm256_set1_epi32(starts[part]), &weights[part * 4..], q.add(part * 4))
                            });
                            let dot = if format == Format::Q6_K {
                                let subs = at.add(32 + sub * 32 + half * 8);
                                let scaled = [0, 1].map(|part| {
                                    let scale = _mm256_cvtepi8_epi32(_mm_loadl_epi64(subs.add(part * 16).cast()));
                                    _mm256_mullo_epi32(dots[part], scale)
                                });
                                _mm256_add_epi32(scaled[0], scaled[1])
                            } else {
                                _mm256_add_epi32(dots[0], dots[1])
                            };
                            let by = _mm256_mul_ps(scale, _mm256_set1_ps((*line).scale));
                            sums[row] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), by, sums[row]);
                            if format.has_min() {
                                sums[row] = _mm256_fmadd_ps(min, _mm256_set1_ps((*line).weighted_sum), sums[row]);
                            }
                        }
                    }
                }
                for row in 0..R {
                    // SAFETY: half a row of `out` is 8 floats.
                    unsafe { _mm256_storeu_ps(out[first + row].as_mut_ptr().add(half * 8), sums[row]) };
                }
            }

            /// Four groups of four weights times the activations at `q`.
            ///
            /// # Safety
            /// `q` points to 16 codes.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn dot4<const F: u8>(mut sum: __m256i, weights: &[__m256i], q: *const i32) -> __m256i {
                for (group, &weights) in weights[..4].iter().enumerate() {
                    // SAFETY: four groups of four bytes.
                    let q = unsafe { _mm256_set1_epi32(q.add(group).read_unaligned()) };
                    sum = $multiply_add::<F>(sum, weights, q);
                }
                sum
            }
        }
    };
}

tier!(maddubs, "avx2,fma,f16c", pairs, unsigned: false);
tier!(vex, "avx2,fma,f16c,avxvnni", vex_dot, unsigned: true);
// Machines with AVX-512 have the same instruction in another encoding: there tests run what the tier above is made of.
#[cfg(test)]
tier!(evex, "avx2,fma,f16c,avx512vnni,avx512vl", evex_dot, unsigned: true);

/// `vpmaddubsw` adds pairs of products in 16 bits, which holds for codes up to 6 bits (63 · 127 · 2); 8-bit codes are made
/// signed and their sign moved to the activation.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs<const F: u8>(sum: __m256i, weights: __m256i, q: __m256i) -> __m256i {
    let pairs = if Format::ALL[F as usize].bits() == 8 {
        let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
        _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(q, signed))
    } else {
        _mm256_maddubs_epi16(weights, q)
    };
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// `vpdpbusd` adds all four products at once.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn vex_dot<const F: u8>(sum: __m256i, weights: __m256i, q: __m256i) -> __m256i {
    _mm256_dpbusd_avx_epi32(sum, weights, q)
}

/// As [`vex_dot`].
#[cfg(test)]
#[inline]
#[target_feature(enable = "avx512vnni,avx512vl")]
fn evex_dot<const F: u8>(sum: __m256i, weights: __m256i, q: __m256i) -> __m256i {
    _mm256_dpbusd_epi32(sum, weights, q)
}

/// Half of a block's codes (8 lanes), one register a group of four weights.
///
/// # Safety
/// `code` points to a block's codes in format `F`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_codes<const F: u8>(code: *const u8, half: usize) -> [__m256i; 8] {
    let format = Format::ALL[F as usize];
    let mut groups = [_mm256_setzero_si256(); 8];
    // SAFETY: all reads are within `format.code_bytes()`.
    unsafe {
        if format.bits() == 8 {
            for (group, codes) in groups.iter_mut().enumerate() {
                *codes = _mm256_loadu_si256(code.add(group * 64 + half * 32).cast());
            }
            return groups;
        }
        let low = _mm256_set1_epi8(15);
        for line in 0..4 {
            let both = _mm256_loadu_si256(code.add(line * 64 + half * 32).cast());
            groups[line * 2] = _mm256_and_si256(both, low);
            groups[line * 2 + 1] = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low);
        }
        if format.bits() == 5 {
            // Byte b of the register wants bit b: spread the 4 bytes of bits, then test one bit in each.
            let spread = _mm256_setr_epi8(
                0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3,
            );
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            for (group, codes) in groups.iter_mut().enumerate() {
                let fifth = _mm256_set1_epi32(code.add(256 + group * 8 + half * 4).cast::<i32>().read_unaligned());
                let set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(fifth, spread), bit), bit);
                *codes = _mm256_or_si256(*codes, _mm256_and_si256(set, _mm256_set1_epi8(16)));
            }
        }
        if format.bits() == 6 {
            let pair = _mm256_set1_epi8(0x30);
            for line in 0..2 {
                let bits = _mm256_loadu_si256(code.add(256 + line * 64 + half * 32).cast());
                let shifted =
                    [_mm256_slli_epi16::<4>(bits), _mm256_slli_epi16::<2>(bits), bits, _mm256_srli_epi16::<2>(bits)];
                for (i, bits) in shifted.into_iter().enumerate() {
                    let codes = &mut groups[line * 4 + i];
                    *codes = _mm256_or_si256(*codes, _mm256_and_si256(bits, pair));
                }
            }
        }
    }
    groups
}

/// Eight f16 as f32.
///
/// # Safety
/// `at` points to 16 bytes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn halves(at: *const u8) -> __m256 {
    // SAFETY: by contract.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
}

/// Eight unsigned bytes as f32.
///
/// # Safety
/// `at` points to 8 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn bytes(at: *const u8) -> __m256 {
    // SAFETY: by contract.
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(at.cast()) }))
}
