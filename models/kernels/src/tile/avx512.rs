//! 512-bit tier: `vpdpbusd` multiplies 64 unsigned weight codes with 64 signed activation codes an instruction, two a
//! cycle. With 8 of them per block and row against 3 or 4 instructions of epilogue, that is what bounds a large tile;
//! a small one is bound by how fast panels stream in.

use std::arch::x86_64::*;

use super::{Panel, RowTile, TileOut};
use crate::format::{BLOCK, Format};

/// How far ahead of the codes in use to prefetch, in bytes.
const AHEAD: usize = 2048;

/// # Safety
/// The machine has AVX-512 F, BW, VL, DQ and VNNI; panel and rows hold what their shapes say and agree on `columns`.
pub(super) unsafe fn multiply(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    // SAFETY: handed down.
    unsafe {
        match panel.format {
            Format::Q4_0 => by_rows::<{ Format::Q4_0 as u8 }>(panel, x, out),
            Format::Q4_1 => by_rows::<{ Format::Q4_1 as u8 }>(panel, x, out),
            Format::Q5_0 => by_rows::<{ Format::Q5_0 as u8 }>(panel, x, out),
            Format::Q5_1 => by_rows::<{ Format::Q5_1 as u8 }>(panel, x, out),
            Format::Q8_0 => by_rows::<{ Format::Q8_0 as u8 }>(panel, x, out),
            Format::Q4_K => by_rows::<{ Format::Q4_K as u8 }>(panel, x, out),
            Format::Q5_K => by_rows::<{ Format::Q5_K as u8 }>(panel, x, out),
            Format::Q6_K => by_rows::<{ Format::Q6_K as u8 }>(panel, x, out),
        }
    }
}

/// # Safety
/// As [`multiply`].
unsafe fn by_rows<const F: u8>(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    // SAFETY: handed down.
    unsafe {
        match x.rows {
            1 => tile::<F, 1>(panel, x, out),
            2 => tile::<F, 2>(panel, x, out),
            3 => tile::<F, 3>(panel, x, out),
            4 => tile::<F, 4>(panel, x, out),
            5 => tile::<F, 5>(panel, x, out),
            6 => tile::<F, 6>(panel, x, out),
            7 => tile::<F, 7>(panel, x, out),
            8 => tile::<F, 8>(panel, x, out),
            12 => tile::<F, 12>(panel, x, out),
            rows => unreachable!("no tile of {rows} rows"),
        }
    }
}

/// # Safety
/// As [`multiply`], and `x.rows == R`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn tile<const F: u8, const R: usize>(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    let format = Format::ALL[F as usize];
    let blocks = panel.columns / BLOCK;
    let per_file_block = format.file_block() / BLOCK;
    let codes_at = panel.bytes.as_ptr();
    // SAFETY: the scales lie behind the codes of all blocks.
    let scales_at = unsafe { codes_at.add(format.scales_at(panel.columns)) };
    let mut sums = [_mm512_setzero_ps(); R];
    let (mut d, mut dmin) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    for block in 0..blocks {
        let sub = block % per_file_block;
        // SAFETY: `block < blocks`: codes and scales lie within the panel, activations within the tile; a prefetch may
        // point anywhere.
        unsafe {
            let code = codes_at.add(block * format.code_bytes());
            if R <= 8 {
                for line in 0..format.code_bytes().div_ceil(64) {
                    _mm_prefetch::<_MM_HINT_T0>(code.wrapping_add(AHEAD + line * 64).cast());
                }
            }
            let scale = scales_at.add(block / per_file_block * format.scale_bytes());
            if sub == 0 {
                d = halves(scale);
                if format.has_min() {
                    dmin = halves(scale.add(32));
                }
            }
            let (scale, min) = match format {
                Format::Q4_K | Format::Q5_K => {
                    let at = scale.add(64 + sub * 32);
                    (_mm512_mul_ps(d, bytes(at)), _mm512_mul_ps(dmin, bytes(at.add(16))))
                }
                _ => (d, dmin),
            };
            let weights = load_codes::<F>(code);
            for row in 0..R {
                let q = x.codes.as_ptr().add(row * x.columns + block * BLOCK).cast::<i32>();
                let at = row * blocks + block;
                let dot = if format == Format::Q6_K {
                    let scales = scales_at.add(block / per_file_block * format.scale_bytes() + 32 + sub * 32);
                    let halves = [0, 1].map(|half| {
                        let start = _mm512_set1_epi32(-format.offset() * *x.sums.as_ptr().add(at * 2 + half));
                        let dot = dot4(start, &weights[half * 4..], q.add(half * 4));
                        let scale = _mm512_cvtepi8_epi32(_mm_loadu_si128(scales.add(half * 16).cast()));
                        _mm512_mullo_epi32(dot, scale)
                    });
                    _mm512_add_epi32(halves[0], halves[1])
                } else {
                    let start = if format.offset() == 0 {
                        _mm512_setzero_si512()
                    } else {
                        let sum = *x.sums.as_ptr().add(at * 2) + *x.sums.as_ptr().add(at * 2 + 1);
                        _mm512_set1_epi32(-format.offset() * sum)
                    };
                    // Two chains: half the latency of one.
                    let (low, high) = (dot4(start, &weights, q), dot4(_mm512_setzero_si512(), &weights[4..], q.add(4)));
                    _mm512_add_epi32(low, high)
                };
                let by = _mm512_mul_ps(scale, _mm512_set1_ps(*x.scales.as_ptr().add(at)));
                sums[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), by, sums[row]);
                if format.has_min() {
                    let sum = _mm512_set1_ps(*x.weighted_sums.as_ptr().add(at));
                    sums[row] = if format.is_k_quant() {
                        _mm512_fnmadd_ps(min, sum, sums[row])
                    } else {
                        _mm512_fmadd_ps(min, sum, sums[row])
                    };
                }
            }
        }
    }
    for row in 0..R {
        // SAFETY: a row of `out` is 16 floats.
        unsafe { _mm512_storeu_ps(out[row].as_mut_ptr(), sums[row]) };
    }
}

/// Four groups of four weights times the activations at `q`.
///
/// # Safety
/// `q` points to 16 codes.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn dot4(mut sum: __m512i, weights: &[__m512i], q: *const i32) -> __m512i {
    for (group, &weights) in weights[..4].iter().enumerate() {
        // SAFETY: four groups of four bytes.
        let q = unsafe { _mm512_set1_epi32(q.add(group).read_unaligned()) };
        sum = _mm512_dpbusd_epi32(sum, weights, q);
    }
    sum
}

/// A block's codes, one register a group of four weights.
///
/// # Safety
/// `code` points to a block's codes in format `F`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load_codes<const F: u8>(code: *const u8) -> [__m512i; 8] {
    let format = Format::ALL[F as usize];
    let mut groups = [_mm512_setzero_si512(); 8];
    // SAFETY: all reads are within `format.code_bytes()`.
    unsafe {
        if format.bits() == 8 {
            for (group, codes) in groups.iter_mut().enumerate() {
                *codes = _mm512_loadu_si512(code.add(group * 64).cast());
            }
            return groups;
        }
        let low = _mm512_set1_epi8(15);
        for line in 0..4 {
            let both = _mm512_loadu_si512(code.add(line * 64).cast());
            groups[line * 2] = _mm512_and_si512(both, low);
            groups[line * 2 + 1] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low);
        }
        if format.bits() == 5 {
            for (group, codes) in groups.iter_mut().enumerate() {
                let fifth = code.add(256 + group * 8).cast::<u64>().read_unaligned();
                *codes = _mm512_mask_add_epi8(*codes, fifth, *codes, _mm512_set1_epi8(16));
            }
        }
        if format.bits() == 6 {
            let pair = _mm512_set1_epi8(0x30);
            for line in 0..2 {
                let bits = _mm512_loadu_si512(code.add(256 + line * 64).cast());
                let shifted =
                    [_mm512_slli_epi16::<4>(bits), _mm512_slli_epi16::<2>(bits), bits, _mm512_srli_epi16::<2>(bits)];
                for (i, bits) in shifted.into_iter().enumerate() {
                    let codes = &mut groups[line * 4 + i];
                    *codes = _mm512_or_si512(*codes, _mm512_and_si512(bits, pair));
                }
            }
        }
    }
    groups
}

/// Sixteen f16 as f32.
///
/// # Safety
/// `at` points to 32 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn halves(at: *const u8) -> __m512 {
    // SAFETY: by contract.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
}

/// Sixteen unsigned bytes as f32.
///
/// # Safety
/// `at` points to 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn bytes(at: *const u8) -> __m512 {
    // SAFETY: by contract.
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
}
