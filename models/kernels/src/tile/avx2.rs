//! 256-bit tiers: the same panels, a register for half of their lanes, and as many rows at a time as sums fit the sixteen
//! registers.

use std::arch::x86_64::*;

use super::{MAX_ROWS, Panel, RowTile, TileOut, Unpacked, by_format};
use crate::{
    activations::Line,
    format::{BLOCK, Format, PANEL_ROWS},
};

/// Rows of a pass over a packed panel.
const PASS: usize = 6;
/// Rows of a pass over an unpacked panel, both halves at once.
const WIDE: usize = 4;
/// Blocks of an unpacked panel that stay in the first-level cache while all rows of a tile pass over them.
const CHUNK: usize = 8;
/// How far ahead of what is in use to prefetch, in bytes, where a step has few rows and weights stream from memory.
const AHEAD: usize = 16 << 10;

/// Runs `$body` once for each group of four weights: unrolled by hand, since what is done with a group's codes is in the
/// instruction.
macro_rules! each_group {
    ($group:ident in $from:tt .. $to:tt, $body:block) => {
        each_group!($group in $from .. $to, $body, 0 1 2 3 4 5 6 7)
    };
    ($group:ident in $from:tt .. $to:tt, $body:block, $($n:literal)*) => {$(
        if $from <= $n && $n < $to {
            let $group: usize = $n;
            $body
        }
    )*};
}

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
                let share = panel.bytes.len() / (panel.columns / BLOCK);
                let mut sums = [[_mm256_setzero_ps(); R]; 2];
                align_frame(&mut sums);
                for block in 0..panel.columns / BLOCK {
                    // SAFETY: `block` is one of the panel's, its lines are the tile's; a prefetch may point anywhere.
                    unsafe {
                        if x.rows < MAX_ROWS {
                            let ahead = panel.bytes.as_ptr().wrapping_add(block * share + AHEAD);
                            for line in 0..=format.code_bytes().div_ceil(64) {
                                _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line * 64).cast());
                            }
                        }
                        let codes = panel.bytes.as_ptr().add(block * format.code_bytes());
                        let lines = x.lines.as_ptr().add(block * x.rows + first);
                        let [low, high] = &mut sums;
                        let scales = [0, 1].map(|half| [load_scales::<F>(panel, block, half)]);
                        add_products::<F, false, R, 1>(std::array::from_mut(low), codes, scales[0], lines);
                        add_products::<F, false, R, 1>(std::array::from_mut(high), codes.add(32), scales[1], lines);
                    }
                }
                store(&sums, first, out);
            }

            /// # Safety
            /// As [`multiply`], and `x.rows == MAX_ROWS`.
            #[target_feature(enable = $features)]
            unsafe fn wide<const F: u8>(unpacked: &[Unpacked], x: RowTile<'_>, out: &mut TileOut) {
                *out = [[0.0; PANEL_ROWS]; MAX_ROWS];
                for (chunk, unpacked) in unpacked.chunks(CHUNK).enumerate() {
                    for first in (0..MAX_ROWS).step_by(WIDE) {
                        let mut sums = load_sums::<WIDE>(first, out);
                        align_frame(&mut sums);
                        for (block, unpacked) in unpacked.iter().enumerate() {
                            // SAFETY: a block of unpacked weights, and its lines are the tile's.
                            unsafe {
                                let mut scales = [[_mm256_setzero_ps(); 2]; 2];
                                for half in 0..2 {
                                    scales[half] = [
                                        _mm256_load_ps(unpacked.scales.as_ptr().add(half * 8)),
                                        _mm256_load_ps(unpacked.seconds.as_ptr().add(half * 8)),
                                    ];
                                }
                                let codes = unpacked.codes.as_ptr().cast();
                                let lines = x.lines.as_ptr().add((chunk * CHUNK + block) * MAX_ROWS + first);
                                add_products::<F, true, WIDE, 2>(&mut sums, codes, scales, lines);
                            }
                        }
                        store(&sums, first, out);
                    }
                }
            }

            /// The rows' products with `H` halves of a block, added to their sums.
            ///
            /// # Safety
            /// `codes` points to the first half's codes in format `F`, or to unpacked ones; `lines` to `R` lines.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn add_products<const F: u8, const UNPACKED: bool, const R: usize, const H: usize>(
                sums: &mut [[__m256; R]; H],
                codes: *const u8,
                scales: [[__m256; 2]; H],
                lines: *const Line,
            ) {
                let format = Format::ALL[F as usize];
                // SAFETY: by contract.
                unsafe {
                    if format == Format::Q6_K {
                        let low = $dots::<F, UNPACKED, R, H, 0, 4>(codes, lines);
                        let high = $dots::<F, UNPACKED, R, H, 4, 8>(codes, lines);
                        for half in 0..H {
                            let [scale, second] = scales[half];
                            for row in 0..R {
                                let line = &*lines.add(row);
                                let [low, high] = [(low[half][row], 0), (high[half][row], 1)].map(|(dot, part)| {
                                    _mm256_cvtepi32_ps(_mm256_add_epi32(dot, _mm256_set1_epi32(line.half_starts[part])))
                                });
                                let scaled = _mm256_fmadd_ps(high, second, _mm256_mul_ps(low, scale));
                                sums[half][row] = _mm256_fmadd_ps(scaled, _mm256_set1_ps(line.scale), sums[half][row]);
                            }
                        }
                        return;
                    }
                    let dots = $dots::<F, UNPACKED, R, H, 0, 8>(codes, lines);
                    for half in 0..H {
                        let [scale, second] = scales[half];
                        for row in 0..R {
                            let line = &*lines.add(row);
                            let start = match format {
                                Format::Q4_0 => _mm256_set1_epi32(line.starts[0]),
                                Format::Q5_0 => _mm256_set1_epi32(line.starts[1]),
                                Format::Q8_0 if $unsigned => _mm256_set1_epi32(line.starts[2]),
                                _ => _mm256_setzero_si256(),
                            };
                            let dot = _mm256_cvtepi32_ps(_mm256_add_epi32(dots[half][row], start));
                            let sum = &mut sums[half][row];
                            *sum = _mm256_fmadd_ps(_mm256_mul_ps(dot, scale), _mm256_set1_ps(line.scale), *sum);
                            if format.has_min() {
                                *sum = _mm256_fmadd_ps(second, _mm256_set1_ps(line.weighted_sum), *sum);
                            }
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
                let codes = panel.bytes.as_ptr().add(block * format.code_bytes() + half * 32);
                each_group!(group in 0..8, {
                    let codes = load_group::<F, false>(codes, group);
                    _mm256_store_si256(to.codes[group].as_mut_ptr().add(half * 32).cast(), codes);
                });
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_sums<const R: usize>(first: usize, out: &TileOut) -> [[__m256; R]; 2] {
    let mut sums = [[_mm256_setzero_ps(); R]; 2];
    for (half, sums) in sums.iter_mut().enumerate() {
        for (sum, out) in sums.iter_mut().zip(&out[first..]) {
            // SAFETY: half a row of `out` is 8 floats.
            *sum = unsafe { _mm256_loadu_ps(out.as_ptr().add(half * 8)) };
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<const R: usize>(sums: &[[__m256; R]; 2], first: usize, out: &mut TileOut) {
    for (half, sums) in sums.iter().enumerate() {
        for (sum, out) in sums.iter().zip(&mut out[first..]) {
            // SAFETY: half a row of `out` is 8 floats.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(half * 8), *sum) };
        }
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

/// Keeps a sum as it is: else compilers add in the shape of a tree, whose branches do not fit the registers.
#[inline]
#[target_feature(enable = "avx2")]
fn pin(mut sum: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) sum, options(pure, nomem, nostack, preserves_flags)) };
    sum
}

/// Gives sums an address: a function with such a variable of 32 bytes' alignment has an aligned frame, and what else does not
/// fit the registers lies in it without crossing cache lines.
#[inline]
#[target_feature(enable = "avx2")]
fn align_frame<T>(sums: &mut T) {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", in(reg) sums, options(nostack, preserves_flags)) };
}

/// Dots of groups `FROM..TO` of four weights of `H` halves with `R` rows.
///
/// `vpmaddubsw` adds pairs of products in 16 bits. These hold 8 pairs of 4-bit codes (15 · 127 · 2 each), 4 of 5 bits,
/// 2 of 6 bits: only then they are widened. 8-bit codes are made signed and their sign moved to the activation.
///
/// # Safety
/// `codes` points to the first half's codes in format `F`, or to unpacked ones; `lines` to `R` lines.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pair_dots<
    const F: u8,
    const UNPACKED: bool,
    const R: usize,
    const H: usize,
    const FROM: usize,
    const TO: usize,
>(
    codes: *const u8,
    lines: *const Line,
) -> [[__m256i; R]; H] {
    let bits = Format::ALL[F as usize].bits();
    let together = match bits {
        4 => 8,
        5 => 4,
        6 => 2,
        _ => 1,
    };
    let mut sums = [[_mm256_setzero_si256(); R]; H];
    let mut pairs = [[_mm256_setzero_si256(); R]; H];
    each_group!(group in FROM..TO, {
        let mut weights = [_mm256_setzero_si256(); H];
        let mut sizes = [_mm256_setzero_si256(); H];
        for half in 0..H {
            // SAFETY: by contract.
            weights[half] = unsafe { load_group::<F, UNPACKED>(codes.add(half * 32), group) };
            if bits == 8 {
                weights[half] = _mm256_xor_si256(weights[half], _mm256_set1_epi8(-128));
                sizes[half] = _mm256_abs_epi8(weights[half]);
            }
        }
        for row in 0..R {
            // SAFETY: one of the rows' lines.
            let q = unsafe { broadcast(lines.add(row), group) };
            for half in 0..H {
                let products = match bits {
                    8 => _mm256_maddubs_epi16(sizes[half], _mm256_sign_epi8(q, weights[half])),
                    _ => _mm256_maddubs_epi16(weights[half], q),
                };
                let sum = match group % together {
                    0 => products,
                    _ => _mm256_add_epi16(pairs[half][row], products),
                };
                pairs[half][row] = if R > 1 { pin(sum) } else { sum };
            }
        }
        if group % together == together - 1 {
            for half in 0..H {
                for row in 0..R {
                    let wide = _mm256_madd_epi16(pairs[half][row], _mm256_set1_epi16(1));
                    sums[half][row] = _mm256_add_epi32(sums[half][row], wide);
                }
            }
        }
    });
    sums
}

/// As [`pair_dots`], with an instruction that adds all four products at once.
macro_rules! dots_of_four {
    ($name:ident, $features:tt, $instruction:ident) => {
        /// # Safety
        /// As [`pair_dots`].
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn $name<
            const F: u8,
            const UNPACKED: bool,
            const R: usize,
            const H: usize,
            const FROM: usize,
            const TO: usize,
        >(
            codes: *const u8,
            lines: *const Line,
        ) -> [[__m256i; R]; H] {
            let mut sums = [[_mm256_setzero_si256(); R]; H];
            each_group!(group in FROM..TO, {
                let mut weights = [_mm256_setzero_si256(); H];
                for half in 0..H {
                    // SAFETY: by contract.
                    weights[half] = unsafe { load_group::<F, UNPACKED>(codes.add(half * 32), group) };
                }
                for row in 0..R {
                    // SAFETY: one of the rows' lines.
                    let q = unsafe { broadcast(lines.add(row), group) };
                    for half in 0..H {
                        sums[half][row] = $instruction(sums[half][row], weights[half], q);
                    }
                }
            });
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

/// The codes of a group of four weights in half of the lanes.
///
/// # Safety
/// `codes` points to that half of a block's codes in format `F`, or to unpacked ones; `group < 8`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_group<const F: u8, const UNPACKED: bool>(codes: *const u8, group: usize) -> __m256i {
    let bits = Format::ALL[F as usize].bits();
    // SAFETY: all reads are within the block's codes.
    unsafe {
        let load = |line: usize| _mm256_loadu_si256(codes.add(line * 64).cast());
        if UNPACKED || bits == 8 {
            return load(group);
        }
        let both = load(group / 2);
        let nibbles = if group.is_multiple_of(2) { both } else { _mm256_srli_epi16::<4>(both) };
        let nibbles = _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
        // What is above a nibble moves to where it belongs; shifts are of 16 bits, but what crosses a byte is masked away.
        let (above, mask) = match bits {
            5 => {
                let bits = load(4);
                let moved = match group {
                    0 => _mm256_slli_epi16::<4>(bits),
                    1 => _mm256_slli_epi16::<3>(bits),
                    2 => _mm256_slli_epi16::<2>(bits),
                    3 => _mm256_slli_epi16::<1>(bits),
                    4 => bits,
                    5 => _mm256_srli_epi16::<1>(bits),
                    6 => _mm256_srli_epi16::<2>(bits),
                    _ => _mm256_srli_epi16::<3>(bits),
                };
                (moved, 0x10)
            }
            6 => {
                let pairs = load(4 + group / 4);
                let moved = match group % 4 {
                    0 => _mm256_slli_epi16::<4>(pairs),
                    1 => _mm256_slli_epi16::<2>(pairs),
                    2 => pairs,
                    _ => _mm256_srli_epi16::<2>(pairs),
                };
                (moved, 0x30)
            }
            _ => return nibbles,
        };
        _mm256_or_si256(nibbles, _mm256_and_si256(above, _mm256_set1_epi8(mask)))
    }
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
