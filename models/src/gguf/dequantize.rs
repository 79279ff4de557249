//! Quantised blocks to floats, one value at a time: slow and exact, the reading that kernels are tested against.
//!
//! Formats and order of operations are ggml's (`dequantize_row_*` in `ggml-quants.c`), so that results are equal bit for
//! bit. `d` is a block's scale, `m` (or `dmin`) its minimum; both are f16.

use half::{bf16, f16};

use super::{GgmlType, GgufError};

/// Writes the values stored in `blocks` to `out`.
///
/// # Errors
/// When `blocks` is not exactly the bytes that `out.len()` values of type `ty` take.
pub fn dequantize(ty: GgmlType, blocks: &[u8], out: &mut [f32]) -> Result<(), GgufError> {
    if ty.bytes_for(out.len()) != Some(blocks.len()) {
        return Err(GgufError::Dequantize {
            ty,
            bytes: blocks.len(),
            values: out.len(),
            per_block: format!("{} values in {} bytes", ty.block_size(), ty.type_size()),
        });
    }
    let block = match ty {
        GgmlType::F32 => f32_value,
        GgmlType::F16 => f16_value,
        GgmlType::BF16 => bf16_value,
        GgmlType::Q4_0 => q4_0,
        GgmlType::Q4_1 => q4_1,
        GgmlType::Q5_0 => q5_0,
        GgmlType::Q5_1 => q5_1,
        GgmlType::Q8_0 => q8_0,
        GgmlType::Q4_K => q4_k,
        GgmlType::Q5_K => q5_k,
        GgmlType::Q6_K => q6_k,
    };
    for (bytes, values) in blocks.chunks_exact(ty.type_size()).zip(out.chunks_exact_mut(ty.block_size())) {
        block(bytes, values);
    }
    Ok(())
}

fn f32_value(b: &[u8], y: &mut [f32]) {
    y[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
}

fn f16_value(b: &[u8], y: &mut [f32]) {
    y[0] = half_at(b, 0);
}

fn bf16_value(b: &[u8], y: &mut [f32]) {
    y[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32();
}

fn half_at(b: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([b[at], b[at + 1]]).to_f32()
}

/// `d · (q − 8)`: d, 16 bytes of 4-bit q (low halves are values 0–15, high halves 16–31).
fn q4_0(b: &[u8], y: &mut [f32]) {
    let d = half_at(b, 0);
    for (j, &q) in b[2..18].iter().enumerate() {
        y[j] = d * (f32::from(q & 15) - 8.0);
        y[j + 16] = d * (f32::from(q >> 4) - 8.0);
    }
}

/// `d · q + m`: d, m, 16 bytes of 4-bit q.
fn q4_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    for (j, &q) in b[4..20].iter().enumerate() {
        y[j] = d * f32::from(q & 15) + m;
        y[j + 16] = d * f32::from(q >> 4) + m;
    }
}

/// The fifth bits of values `j` and `j + 16`, in place.
fn fifth_bits(qh: &[u8], j: usize) -> (u8, u8) {
    let bits = u32::from_le_bytes([qh[0], qh[1], qh[2], qh[3]]);
    (((bits >> j) & 1) as u8 * 16, ((bits >> (j + 16)) & 1) as u8 * 16)
}

/// `d · (q − 16)`: d, 4 bytes of fifth bits (bit j is value j's), 16 bytes of low four bits.
fn q5_0(b: &[u8], y: &mut [f32]) {
    let d = half_at(b, 0);
    for (j, &q) in b[6..22].iter().enumerate() {
        let (low, high) = fifth_bits(&b[2..6], j);
        y[j] = d * (f32::from(q & 15 | low) - 16.0);
        y[j + 16] = d * (f32::from(q >> 4 | high) - 16.0);
    }
}

/// `d · q + m`: d, m, 4 bytes of fifth bits, 16 bytes of low four bits.
fn q5_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    for (j, &q) in b[8..24].iter().enumerate() {
        let (low, high) = fifth_bits(&b[4..8], j);
        y[j] = d * f32::from(q & 15 | low) + m;
        y[j + 16] = d * f32::from(q >> 4 | high) + m;
    }
}

/// `d · q`: d, 32 signed bytes.
fn q8_0(b: &[u8], y: &mut [f32]) {
    let d = half_at(b, 0);
    for (y, &q) in y.iter_mut().zip(&b[2..34]) {
        *y = d * f32::from(q.cast_signed());
    }
}

/// The six-bit scale and minimum of sub-block `j` of 8, from the 12 bytes that Q4_K and Q5_K pack them in: the first four
/// pairs have a byte each, the last four keep four bits in bytes 8–11 and two in the top of the first eight.
fn scale_and_min(s: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (s[j] & 63, s[j + 4] & 63)
    } else {
        (s[j + 4] & 15 | s[j - 4] >> 6 << 4, s[j + 4] >> 4 | s[j] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

/// `d·scale · q − dmin·min` in 8 sub-blocks of 32: d, dmin, 12 bytes of scales, 128 bytes of 4-bit q, of which each run of
/// 32 bytes holds sub-block 2i in its low halves and 2i+1 in its high ones.
fn q4_k(b: &[u8], y: &mut [f32]) {
    let (d, dmin) = (half_at(b, 0), half_at(b, 2));
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_and_min(&b[4..16], j);
        let (scale, min) = (d * scale, dmin * min);
        for (y, &q) in y.iter_mut().zip(&b[16 + j / 2 * 32..]) {
            *y = scale * f32::from(q >> (j % 2 * 4) & 15) - min;
        }
    }
}

/// Q4_K with 32 bytes of fifth bits after the scales: bit j of byte l belongs to value l of sub-block j.
fn q5_k(b: &[u8], y: &mut [f32]) {
    let (d, dmin) = (half_at(b, 0), half_at(b, 2));
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_and_min(&b[4..16], j);
        let (scale, min) = (d * scale, dmin * min);
        for (l, y) in y.iter_mut().enumerate() {
            let low = b[48 + j / 2 * 32 + l] >> (j % 2 * 4) & 15;
            let high = (b[16 + l] >> j & 1) << 4;
            *y = scale * f32::from(low | high) - min;
        }
    }
}

/// `d·scale · (q − 32)` in 16 sub-blocks of 16: 128 bytes of low four bits, 64 bytes of high two bits, 16 signed scales,
/// d. Each half of 128 values has 64 bytes of `low` and 32 of `high`; its quarter k takes the low (k < 2) or high halves
/// of `low`, and bits 2k, 2k+1 of `high`.
fn q6_k(b: &[u8], y: &mut [f32]) {
    let (low, high, scales, d) = (&b[..128], &b[128..192], &b[192..208], half_at(b, 208));
    for (i, y) in y.iter_mut().enumerate() {
        let (half, quarter, l) = (i / 128, i / 32 % 4, i % 32);
        let four = low[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
        let two = high[half * 32 + l] >> (quarter * 2) & 3;
        let scale = d * f32::from(scales[i / 16].cast_signed());
        *y = scale * (f32::from(four | two << 4) - 32.0);
    }
}
