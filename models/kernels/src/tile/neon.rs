//! 128-bit tier: `sdot` multiplies 16 signed weight codes, four of each of four rows, with four activation codes an
//! instruction. Codes up to 6 bits are positive as they lie; 8-bit codes are made signed. A tile of four rows holds its
//! 16 sums beside the 8 registers of codes of a quarter panel.

use std::arch::{aarch64::*, asm};

use super::{Panel, RowTile, TileOut, by_format};
use crate::{
    activations::Line,
    format::{BLOCK, Format},
};

/// Registers of four lanes in a panel.
const QUARTERS: usize = 4;

/// # Safety
/// The machine has the dot product extension; panel and rows hold what their shapes say and agree on `columns`.
pub(super) unsafe fn multiply(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    // SAFETY: handed down.
    unsafe { by_format!(panel.format, by_rows(panel, x, out)) }
}

/// # Safety
/// As [`multiply`].
unsafe fn by_rows<const F: u8>(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    for first in (0..x.rows).step_by(4) {
        // SAFETY: handed down.
        unsafe {
            match x.rows - first {
                1 => tile::<F, 1>(panel, x, first, out),
                2 => tile::<F, 2>(panel, x, first, out),
                3 => tile::<F, 3>(panel, x, first, out),
                _ => tile::<F, 4>(panel, x, first, out),
            }
        }
    }
}

/// Rows `first..first + R`.
///
/// # Safety
/// As [`multiply`], and `first + R <= x.rows`.
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile<const F: u8, const R: usize>(panel: Panel<'_>, x: RowTile<'_>, first: usize, out: &mut TileOut) {
    let format = Format::ALL[F as usize];
    let mut sums = [[vdupq_n_f32(0.0); QUARTERS]; R];
    for block in 0..panel.columns / BLOCK {
        // SAFETY: `block` is one of the panel's, its lines are the tile's.
        unsafe {
            let code = panel.bytes.as_ptr().add(block * format.code_bytes());
            let lines = x.lines.as_ptr().add(block * x.rows + first);
            for quarter in 0..QUARTERS {
                let weights = load_codes::<F>(code, quarter);
                let scales = load_scales::<F>(panel, block, quarter);
                for (row, sums) in sums.iter_mut().enumerate() {
                    sums[quarter] = add_product::<F>(sums[quarter], &weights, scales, &*lines.add(row));
                }
            }
        }
    }
    for (sums, out) in sums.iter().zip(&mut out[first..]) {
        for (sum, out) in sums.iter().zip(out.as_chunks_mut::<4>().0) {
            // SAFETY: four floats.
            unsafe { vst1q_f32(out.as_mut_ptr(), *sum) };
        }
    }
}

/// A row's product with a quarter of one block, added to its sum.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_product<const F: u8>(
    sum: float32x4_t,
    weights: &[int8x16_t; 8],
    [scale, second]: [float32x4_t; 2],
    line: &Line,
) -> float32x4_t {
    let format = Format::ALL[F as usize];
    // SAFETY: 32 codes.
    let q = unsafe { [vld1q_s8(line.codes.as_ptr()), vld1q_s8(line.codes.as_ptr().add(16))] };
    if format == Format::Q6_K {
        let low = dot4(vdupq_n_s32(line.half_starts[0]), &weights[..4], q[0]);
        let high = dot4(vdupq_n_s32(line.half_starts[1]), &weights[4..], q[1]);
        let product = vfmaq_f32(vmulq_f32(vcvtq_f32_s32(low), scale), vcvtq_f32_s32(high), second);
        return vfmaq_n_f32(sum, product, line.scale);
    }
    let start = match format {
        Format::Q4_0 => line.starts[0],
        Format::Q5_0 => line.starts[1],
        _ => 0, // eight-bit codes are signed by now
    };
    let dot = dot4(dot4(vdupq_n_s32(start), &weights[..4], q[0]), &weights[4..], q[1]);
    let sum = vfmaq_n_f32(sum, vmulq_f32(vcvtq_f32_s32(dot), scale), line.scale);
    if format.has_min() { vfmaq_n_f32(sum, second, line.weighted_sum) } else { sum }
}

/// Four groups of four weights times the 16 activations of `q`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot4(sum: int32x4_t, weights: &[int8x16_t], q: int8x16_t) -> int32x4_t {
    let sum = sdot::<0>(sum, weights[0], q);
    let sum = sdot::<1>(sum, weights[1], q);
    let sum = sdot::<2>(sum, weights[2], q);
    sdot::<3>(sum, weights[3], q)
}

/// Each lane's four weights times the four activations of lane `LANE`. `vdotq_laneq_s32` is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot<const LANE: usize>(mut sum: int32x4_t, weights: int8x16_t, q: int8x16_t) -> int32x4_t {
    // SAFETY: from registers to a register.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {q:v}.4b[{lane}]",
            sum = inout(vreg) sum, weights = in(vreg) weights, q = in(vreg) q, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// The scales of four lanes of a block; and their minima, or the scales of the block's second half (Q6_K).
///
/// # Safety
/// As [`multiply`]; `block` is one of the panel's.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_scales<const F: u8>(panel: Panel<'_>, block: usize, quarter: usize) -> [float32x4_t; 2] {
    let format = Format::ALL[F as usize];
    let (block, sub) = (block / (format.file_block() / BLOCK), block % (format.file_block() / BLOCK));
    // SAFETY: the scales lie behind the codes of all blocks, those of a file block together.
    unsafe {
        let at = panel.bytes.as_ptr().add(format.scales_at(panel.columns) + block * format.scale_bytes());
        let d = halves(at.add(quarter * 8));
        match format {
            Format::Q4_K | Format::Q5_K => {
                let (dmin, at) = (halves(at.add(32 + quarter * 8)), at.add(64 + sub * 32 + quarter * 4));
                let byte = |at: *const u8| vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four(at)))));
                [vmulq_f32(d, byte(at)), vnegq_f32(vmulq_f32(dmin, byte(at.add(16))))]
            }
            Format::Q6_K => {
                let at = at.add(32 + sub * 32 + quarter * 4);
                let byte = |at| vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four(at)))));
                [vmulq_f32(d, vcvtq_f32_s32(byte(at))), vmulq_f32(d, vcvtq_f32_s32(byte(at.add(16))))]
            }
            _ if format.has_min() => [d, halves(at.add(32 + quarter * 8))],
            _ => [d, vdupq_n_f32(0.0)],
        }
    }
}

/// The codes of four lanes of a block, one register a group of four weights.
///
/// # Safety
/// `code` points to a block's codes in format `F`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_codes<const F: u8>(code: *const u8, quarter: usize) -> [int8x16_t; 8] {
    let format = Format::ALL[F as usize];
    let mut groups = [vdupq_n_u8(0); 8];
    // SAFETY: all reads are within `format.code_bytes()`.
    unsafe {
        let piece = |line: usize| vld1q_u8(code.add(line * 64 + quarter * 16));
        if format.bits() == 8 {
            return std::array::from_fn(|group| vreinterpretq_s8_u8(veorq_u8(piece(group), vdupq_n_u8(128))));
        }
        for line in 0..4 {
            let both = piece(line);
            groups[line * 2] = vandq_u8(both, vdupq_n_u8(15));
            groups[line * 2 + 1] = vshrq_n_u8::<4>(both);
        }
        if format.bits() == 5 {
            let bits = piece(4);
            let shifted = [
                vshlq_n_u8::<4>(bits),
                vshlq_n_u8::<3>(bits),
                vshlq_n_u8::<2>(bits),
                vshlq_n_u8::<1>(bits),
                bits,
                vshrq_n_u8::<1>(bits),
                vshrq_n_u8::<2>(bits),
                vshrq_n_u8::<3>(bits),
            ];
            for (codes, bits) in groups.iter_mut().zip(shifted) {
                *codes = vorrq_u8(*codes, vandq_u8(bits, vdupq_n_u8(16)));
            }
        }
        if format.bits() == 6 {
            for line in 0..2 {
                let bits = piece(4 + line);
                let shifted = [vshlq_n_u8::<4>(bits), vshlq_n_u8::<2>(bits), bits, vshrq_n_u8::<2>(bits)];
                for (codes, bits) in groups[line * 4..].iter_mut().zip(shifted) {
                    *codes = vorrq_u8(*codes, vandq_u8(bits, vdupq_n_u8(0x30)));
                }
            }
        }
    }
    groups.map(|codes| vreinterpretq_s8_u8(codes))
}

/// Four f16 as f32.
///
/// # Safety
/// `at` points to 8 bytes.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn halves(at: *const u8) -> float32x4_t {
    // SAFETY: by contract.
    vcvt_f32_f16(vreinterpret_f16_u8(unsafe { vld1_u8(at) }))
}

/// Four bytes, in the low half.
///
/// # Safety
/// `at` points to 4 bytes.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn four(at: *const u8) -> uint8x8_t {
    // SAFETY: by contract.
    vreinterpret_u8_u32(vdup_n_u32(unsafe { at.cast::<u32>().read_unaligned() }))
}
