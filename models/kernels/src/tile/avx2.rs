//! 256-bit tiers: the same panels, half of their lanes and up to six rows at a time: six accumulators, six sums and what is
//! multiplied fit the sixteen registers.

use std::arch::x86_64::*;

use super::{MAX_ROWS, Panel, RowTile, TileOut, Unpacked, by_format};
use crate::{
    activations::Line,
    format::{BLOCK, Format},
};

/// Rows of a pass.
const PASS: usize = 6;
/// How far ahead of the codes in use to prefetch, in bytes.
const AHEAD: usize = 1024;

/// A tier's kernels; `$dots` multiplies groups of four weights with rows. Where it takes codes of 8 bits as they lie,
/// `$unsigned`, sums start from minus what their offset adds; else it makes them signed.
macro_rules! tier {
    ($tier:ident, $features:tt, $dots:ident, unsigned: $unsigned:literal) => {
        pub(super) mod $tier {
            use super::*;

            /// # Safety
            /// The machine has the tier's instructions; panel and rows hold what their shapes say and agree on `columns`.
            pub(in crate::tile) unsafe fn multiply(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
                // SAFETY: handed down.
                unsafe { by_format!(panel.format, by_rows(panel, x, out)) }
            }

            /// As [`multiply`] for [`MAX_ROWS`] rows, with a panel that [`unpack`] has prepared.
            ///
            /// # Safety
            /// As [`multiply`]; `unpacked` holds what `unpack` wrote for this panel.
            pub(in crate::tile) unsafe fn multiply_unpacked(
                panel: Panel<'_>,
                unpacked: &[Unpacked],
                x: RowTile<'_>,
                out: &mut TileOut,
            ) {
                // SAFETY: handed down.
                unsafe { by_format!(panel.format, wide(unpacked, x, out)) }
            }

            /// # Safety
            /// As [`multiply`].
            unsafe fn by_rows<const F: u8>(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
                for first in (0..x.rows).step_by(PASS) {
                    // SAFETY: handed down.
                    unsafe {
                        match (x.rows - first).min(PASS) {
                            1 => tile::<F, 1>(panel, x, first, out),
                            2 => tile::<F, 2>(panel, x, first, out),
                            3 => tile::<F, 3>(panel, x, first, out),
                            4 => tile::<F, 4>(panel, x, first, out),
                            5 => tile::<F, 5>(panel, x, first, out),
                            _ => tile::<F, 6>(panel, x, first, out),
                        }
                    }
                }
            }

            /// Rows `first..first + R`.
            ///
            /// # Safety
            /// As [`multiply`], and `first + R <= x.rows`.
            #[target_feature(enable = $features)]
            unsafe fn tile<const F: u8, const R: usize>(
                panel: Panel<'_>,
                x: RowTile<'_>,
                first: usize,
                out: &mut TileOut,
            ) {
                let format = Format::ALL[F as usize];
                let mut sums = [[_mm256_setzero_ps(); R]; 2];
                for block in 0..panel.columns / BLOCK {
                    // SAFETY: `block` is one of the panel's, its lines are the tile's; a prefetch may point anywhere.
                    unsafe {
                        let code = panel.bytes.as_ptr().add(block * format.code_bytes());
                        for line in 0..format.code_bytes().div_ceil(64) {
                            _mm_prefetch::<_MM_HINT_T0>(code.wrapping_add(AHEAD + line * 64).cast());
                        }
                        let lines = x.lines.as_ptr().add(block * x.rows + first);
                        for half in 0..2 {
                            let scales = load_scales::<F>(panel, block, half);
                            let weights = load_codes::<F>(code, half);
                            add_products::<F, R>(&mut sums[half], &weights, scales, lines);
                        }
                    }
                }
                for half in 0..2 {
                    store(&sums[half], first, half, out);
                }
            }

            /// # Safety
            /// As [`multiply`], and `x.rows == MAX_ROWS`.
            #[target_feature(enable = $features)]
            unsafe fn wide<const F: u8>(unpacked: &[Unpacked], x: RowTile<'_>, out: &mut TileOut) {
                for (half, first) in [(0, 0), (0, PASS), (1, 0), (1, PASS)] {
                    let mut sums = [_mm256_setzero_ps(); PASS];
                    for (block, unpacked) in unpacked.iter().enumerate() {
                        // SAFETY: a block of unpacked weights, and its lines are the tile's.
                        unsafe {
                            let weights = std::array::from_fn(|group| {
                                _mm256_load_si256(unpacked.codes[group].as_ptr().add(half * 32).cast())
                            });
                            let scales = [
                                _mm256_load_ps(unpacked.scales.as_ptr().add(half * 8)),
                                _mm256_load_ps(unpacked.seconds.as_ptr().add(half * 8)),
                            ];
                            let lines = x.lines.as_ptr().add(block * MAX_ROWS + first);
                            add_products::<F, PASS>(&mut sums, &weights, scales, lines);
                        }
                    }
                    store(&sums, first, half, out);
                }
            }

            /// The rows' products with half a block, added to their sums.
            ///
            /// # Safety
            /// `lines` points to `R` lines.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn add_products<const F: u8, const R: usize>(
                sums: &mut [__m256; R],
                weights: &[__m256i; 8],
                [scale, second]: [__m256; 2],
                lines: *const Line,
            ) {
                let format = Format::ALL[F as usize];
                // SAFETY: by contract.
                unsafe {
                    if format == Format::Q6_K {
                        let low = $dots::<F, R>(&weights[..4], lines, 0);
                        let high = $dots::<F, R>(&weights[4..], lines, 4);
                        for row in 0..R {
                            let line = &*lines.add(row);
                            let [low, high] = [(low[row], 0), (high[row], 1)].map(|(dot, part)| {
                                _mm256_cvtepi32_ps(_mm256_add_epi32(dot, _mm256_set1_epi32(line.half_starts[part])))
                            });
                            let scaled = _mm256_fmadd_ps(high, second, _mm256_mul_ps(low, scale));
                            sums[row] = _mm256_fmadd_ps(scaled, _mm256_set1_ps(line.scale), sums[row]);
                        }
                        return;
                    }
                    let dots = $dots::<F, R>(weights, lines, 0);
                    for row in 0..R {
                        let line = &*lines.add(row);
                        let start = match format {
                            Format::Q4_0 => _mm256_set1_epi32(line.starts[0]),
                            Format::Q5_0 => _mm256_set1_epi32(line.starts[1]),
                            Format::Q8_0 if $unsigned => _mm256_set1_epi32(line.starts[2]),
                            _ => _mm256_setzero_si256(),
                        };
                        let dot = _mm256_cvtepi32_ps(_mm256_add_epi32(dots[row], start));
                        sums[row] = _mm256_fmadd_ps(_mm256_mul_ps(dot, scale), _mm256_set1_ps(line.scale), sums[row]);
                        if format.has_min() {
                            sums[row] = _mm256_fmadd_ps(second, _mm256_set1_ps(line.weighted_sum), sums[row]);
                        }
                    }
                }
            }
        }
    };
}

tier!(maddubs, "avx2,fma,f16c", pair_dots, unsigned: false);
tier!(vex, "avx2,fma,f16c,avxvnni", vex_dots, unsigned: true);
// Machines with AVX-512 have the same instruction in another encoding: there tests run what the tier above is made of.
#[cfg(test)]
tier!(evex, "avx2,fma,f16c,avx512vnni,avx512vl", evex_dots, unsigned: true);

/// Unpacks a panel, for when many tiles pass over it.
///
/// # Safety
/// The machine has AVX2 and F16C; the panel holds what its shape says, and `to` has a place for each of its blocks.
pub(super) unsafe fn unpack(panel: Panel<'_>, to: &mut [Unpacked]) {
    // SAFETY: handed down.
    unsafe { by_format!(panel.format, unpack_blocks(panel, to)) }
}

/// # Safety
/// As [`unpack`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpack_blocks<const F: u8>(panel: Panel<'_>, to: &mut [Unpacked]) {
    let format = Format::ALL[F as usize];
    for (block, to) in to.iter_mut().enumerate() {
        for half in 0..2 {
            // SAFETY: `block` is one of the panel's; places are 32 bytes each.
            unsafe {
                let [scales, seconds] = load_scales::<F>(panel, block, half);
                _mm256_store_ps(to.scales.as_mut_ptr().add(half * 8), scales);
                _mm256_store_ps(to.seconds.as_mut_ptr().add(half * 8), seconds);
                let codes = load_codes::<F>(panel.bytes.as_ptr().add(block * format.code_bytes()), half);
                for (to, codes) in to.codes.iter_mut().zip(codes) {
                    _mm256_store_si256(to.as_mut_ptr().add(half * 32).cast(), codes);
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<const R: usize>(sums: &[__m256; R], first: usize, half: usize, out: &mut TileOut) {
    for (sum, out) in sums.iter().zip(&mut out[first..]) {
        // SAFETY: half a row of `out` is 8 floats.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(half * 8), *sum) };
    }
}

/// The four activations of group `group` of a line in every lane.
///
/// # Safety
/// `line` points to a line, `group < 8`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn broadcast(line: *const Line, group: usize) -> __m256i {
    // SAFETY: by contract: four of the line's codes.
    unsafe { _mm256_set1_epi32((&raw const (*line).codes).cast::<i32>().add(group).read_unaligned()) }
}

/// Dots of groups of four weights, the first of which is the block's group `from`, with `R` rows.
///
/// `vpmaddubsw` adds pairs of products in 16 bits. These hold 8 pairs of 4-bit codes (15 · 127 · 2 each), 4 of 5 bits,
/// 2 of 6 bits: only then they are widened. 8-bit codes are made signed and their sign moved to the activation.
///
/// # Safety
/// `lines` points to `R` lines, and `from + weights.len() <= 8`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pair_dots<const F: u8, const R: usize>(weights: &[__m256i], lines: *const Line, from: usize) -> [__m256i; R] {
    let bits = Format::ALL[F as usize].bits();
    let together = match bits {
        4 => 8,
        5 => 4,
        6 => 2,
        _ => 1,
    };
    let mut sums = [_mm256_setzero_si256(); R];
    for (chunk, weights) in weights.chunks(together).enumerate() {
        let mut pairs = [_mm256_setzero_si256(); R];
        for (i, &weights) in weights.iter().enumerate() {
            let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
            for row in 0..R {
                // SAFETY: one of the rows' lines.
                let q = unsafe { broadcast(lines.add(row), from + chunk * together + i) };
                let products = match bits {
                    8 => _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(q, signed)),
                    _ => _mm256_maddubs_epi16(weights, q),
                };
                pairs[row] = _mm256_add_epi16(pairs[row], products);
            }
        }
        for row in 0..R {
            sums[row] = _mm256_add_epi32(sums[row], _mm256_madd_epi16(pairs[row], _mm256_set1_epi16(1)));
        }
    }
    sums
}

/// As [`pair_dots`], with an instruction that adds all four products at once.
macro_rules! dots_of_four {
    ($name:ident, $features:tt, $instruction:ident) => {
        /// # Safety
        /// As [`pair_dots`].
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn $name<const F: u8, const R: usize>(
            weights: &[__m256i],
            lines: *const Line,
            from: usize,
        ) -> [__m256i; R] {
            let mut sums = [_mm256_setzero_si256(); R];
            for (i, &weights) in weights.iter().enumerate() {
                for row in 0..R {
                    // SAFETY: one of the rows' lines.
                    let q = unsafe { broadcast(lines.add(row), from + i) };
                    sums[row] = $instruction(sums[row], weights, q);
                }
            }
            sums
        }
    };
}

dots_of_four!(vex_dots, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);
#[cfg(test)]
dots_of_four!(evex_dots, "avx2,avx512vnni,avx512vl", _mm256_dpbusd_epi32);

/// The scales of half a block (8 lanes); and its minima, or the scales of its second half (Q6_K).
///
/// # Safety
/// `block` is one of the panel's, which holds what its shape says.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_scales<const F: u8>(panel: Panel<'_>, block: usize, half: usize) -> [__m256; 2] {
    let format = Format::ALL[F as usize];
    let (block, sub) = (block / (format.file_block() / BLOCK), block % (format.file_block() / BLOCK));
    // SAFETY: the scales lie behind the codes of all blocks, those of a file block together.
    unsafe {
        let at = panel.bytes.as_ptr().add(format.scales_at(panel.columns) + block * format.scale_bytes());
        let d = halves(at.add(half * 16));
        match format {
            Format::Q4_K | Format::Q5_K => {
                let subs = at.add(64 + sub * 32 + half * 8);
                let min = _mm256_mul_ps(halves(at.add(32 + half * 16)), bytes(subs.add(16)));
                [_mm256_mul_ps(d, bytes(subs)), _mm256_sub_ps(_mm256_setzero_ps(), min)]
            }
            Format::Q6_K => {
                let subs = at.add(32 + sub * 32 + half * 8);
                [_mm256_mul_ps(d, signed_bytes(subs)), _mm256_mul_ps(d, signed_bytes(subs.add(16)))]
            }
            _ if format.has_min() => [d, halves(at.add(32 + half * 16))],
            _ => [d, _mm256_setzero_ps()],
        }
    }
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

/// Eight signed bytes as f32.
///
/// # Safety
/// `at` points to 8 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn signed_bytes(at: *const u8) -> __m256 {
    // SAFETY: by contract.
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(at.cast()) }))
}
