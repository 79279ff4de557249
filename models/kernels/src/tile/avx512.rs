//! 512-bit tier: `vpdpbusd` multiplies 64 unsigned weight codes with 64 signed activation codes an instruction, two a
//! cycle. With 8 of them per block and row against 3 or 4 instructions of epilogue, that is what bounds a large tile;
//! a small one is bound by how fast panels stream in.

use std::arch::x86_64::*;

use super::{MAX_ROWS, Panel, RowTile, TileOut, Unpacked, by_format};
use crate::{
    activations::Line,
    format::{BLOCK, Format},
};

/// How far ahead of the codes in use to prefetch into the first-level cache, in bytes. The second-level cache is a whole
/// panel ahead: a core has too few line fill buffers to cover the latency of memory while it computes.
const AHEAD: usize = 1024;

/// Runs `$body` for each row: unrolled by hand, since a loop that the compiler leaves a loop keeps its sums in memory.
macro_rules! each_row {
    ($row:ident < $rows:ident, $body:block) => { each_row!($row < $rows, $body, 0 1 2 3 4 5 6 7 8 9 10 11) };
    ($row:ident < $rows:ident, $body:block, $($n:literal)*) => {$(
        if $n < $rows {
            let $row: usize = $n;
            $body
        }
    )*};
}

/// # Safety
/// The machine has AVX-512 F, BW, VL, DQ and VNNI; panel and rows hold what their shapes say and agree on `columns`.
pub(super) unsafe fn multiply(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    // SAFETY: handed down.
    unsafe { by_format!(panel.format, by_rows(panel, x, out)) }
}

/// As [`multiply`] for [`MAX_ROWS`] rows, with a panel that [`unpack`] has prepared.
///
/// # Safety
/// As [`multiply`]; `unpacked` holds what `unpack` wrote for this panel.
pub(super) unsafe fn multiply_unpacked(panel: Panel<'_>, unpacked: &[Unpacked], x: RowTile<'_>, out: &mut TileOut) {
    // SAFETY: handed down.
    unsafe { by_format!(panel.format, wide(unpacked, x, out)) }
}

/// Unpacks a panel, for when many tiles pass over it.
///
/// # Safety
/// As [`multiply`].
pub(super) unsafe fn unpack(panel: Panel<'_>, to: &mut [Unpacked]) {
    // SAFETY: handed down.
    unsafe { by_format!(panel.format, unpack_blocks(panel, to)) }
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
            9 => tile::<F, 9>(panel, x, out),
            10 => tile::<F, 10>(panel, x, out),
            11 => tile::<F, 11>(panel, x, out),
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
    let mut sums = [_mm512_setzero_ps(); R];
    let mut supers = Supers::new();
    let next = panel.bytes.as_ptr_range().end;
    let share = panel.bytes.len() / (panel.columns / BLOCK);
    for block in 0..panel.columns / BLOCK {
        // SAFETY: `block` is one of the panel's, its lines are the tile's; a prefetch may point anywhere.
        unsafe {
            let code = panel.bytes.as_ptr().add(block * format.code_bytes());
            for line in 0..format.code_bytes().div_ceil(64) {
                _mm_prefetch::<_MM_HINT_T0>(code.wrapping_add(AHEAD + line * 64).cast());
            }
            if R < MAX_ROWS {
                for line in 0..=format.code_bytes().div_ceil(64) {
                    _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(block * share + line * 64).cast());
                }
            }
            let scales = load_scales::<F>(panel, block, &mut supers);
            let weights = load_codes::<F>(code);
            let lines = x.lines.as_ptr().add(block * R);
            each_row!(row < R, { sums[row] = add_product::<F, R>(sums[row], &weights, scales, lines.add(row)) });
        }
    }
    store(&sums, out);
}

/// # Safety
/// As [`multiply`], and `x.rows == MAX_ROWS`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn wide<const F: u8>(unpacked: &[Unpacked], x: RowTile<'_>, out: &mut TileOut) {
    const R: usize = MAX_ROWS;
    let mut sums = [_mm512_setzero_ps(); R];
    for (block, unpacked) in unpacked.iter().enumerate() {
        // SAFETY: a block of unpacked weights, and its lines are the tile's.
        unsafe {
            let weights = std::array::from_fn(|group| _mm512_load_si512(unpacked.codes[group].as_ptr().cast()));
            let scales = [_mm512_load_ps(unpacked.scales.as_ptr()), _mm512_load_ps(unpacked.seconds.as_ptr())];
            let lines = x.lines.as_ptr().add(block * R);
            each_row!(row < R, { sums[row] = add_product::<F, R>(sums[row], &weights, scales, lines.add(row)) });
        }
    }
    store(&sums, out);
}

/// # Safety
/// As [`multiply`]; `to` has a place for each of the panel's blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn unpack_blocks<const F: u8>(panel: Panel<'_>, to: &mut [Unpacked]) {
    let format = Format::ALL[F as usize];
    let mut supers = Supers::new();
    for (block, to) in to.iter_mut().enumerate() {
        // SAFETY: `block` is one of the panel's; places are 64 bytes each.
        unsafe {
            let [scales, seconds] = load_scales::<F>(panel, block, &mut supers);
            _mm512_store_ps(to.scales.as_mut_ptr(), scales);
            _mm512_store_ps(to.seconds.as_mut_ptr(), seconds);
            let codes = load_codes::<F>(panel.bytes.as_ptr().add(block * format.code_bytes()));
            for (to, codes) in to.codes.iter_mut().zip(codes) {
                _mm512_store_si512(to.as_mut_ptr().cast(), codes);
            }
        }
    }
}

/// A row's product with one block, added to its sum.
///
/// # Safety
/// `line` points to a line.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn add_product<const F: u8, const R: usize>(
    sum: __m512,
    weights: &[__m512i; 8],
    [scale, second]: [__m512; 2],
    line: *const Line,
) -> __m512 {
    let format = Format::ALL[F as usize];
    // SAFETY: by contract.
    unsafe {
        let q = (&raw const (*line).codes).cast::<i32>();
        let by = _mm512_set1_ps((*line).scale);
        if format == Format::Q6_K {
            let low = dot4(_mm512_set1_epi32((*line).half_starts[0]), &weights[..4], q);
            let high = dot4(_mm512_set1_epi32((*line).half_starts[1]), &weights[4..], q.add(4));
            let low = _mm512_mul_ps(_mm512_cvtepi32_ps(low), scale);
            return _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_cvtepi32_ps(high), second, low), by, sum);
        }
        let start = match format {
            Format::Q4_0 => _mm512_set1_epi32((*line).starts[0]),
            Format::Q5_0 => _mm512_set1_epi32((*line).starts[1]),
            Format::Q8_0 => _mm512_set1_epi32((*line).starts[2]),
            _ => _mm512_setzero_si512(),
        };
        // Many rows are chains enough; with few, two have half the latency of one.
        let dot = if R > 3 {
            dot4(dot4(start, &weights[..4], q), &weights[4..], q.add(4))
        } else {
            let high = dot4(_mm512_setzero_si512(), &weights[4..], q.add(4));
            _mm512_add_epi32(dot4(start, &weights[..4], q), high)
        };
        let sum = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(dot), scale), by, sum);
        if format.has_min() { _mm512_fmadd_ps(second, _mm512_set1_ps((*line).weighted_sum), sum) } else { sum }
    }
}

/// Scales of the super-block at hand.
struct Supers {
    d: __m512,
    dmin: __m512,
}

impl Supers {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new() -> Self {
        Self { d: _mm512_setzero_ps(), dmin: _mm512_setzero_ps() }
    }
}

/// The scales of block `block`; and its minima, or the scales of its second half (Q6_K).
///
/// # Safety
/// As [`multiply`]; `block` is one of the panel's, and those of a super-block are asked for in order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn load_scales<const F: u8>(panel: Panel<'_>, block: usize, supers: &mut Supers) -> [__m512; 2] {
    let format = Format::ALL[F as usize];
    let (block, sub) = (block / (format.file_block() / BLOCK), block % (format.file_block() / BLOCK));
    // SAFETY: the scales lie behind the codes of all blocks, those of a file block together.
    unsafe {
        let at = panel.bytes.as_ptr().add(format.scales_at(panel.columns) + block * format.scale_bytes());
        if sub == 0 {
            supers.d = halves(at);
            if format.has_min() {
                supers.dmin = halves(at.add(32));
            }
        }
        let Supers { d, dmin } = *supers;
        match format {
            Format::Q4_K | Format::Q5_K => {
                let at = at.add(64 + sub * 32);
                let min = _mm512_mul_ps(dmin, bytes(at.add(16)));
                [_mm512_mul_ps(d, bytes(at)), _mm512_sub_ps(_mm512_setzero_ps(), min)]
            }
            Format::Q6_K => {
                let at = at.add(32 + sub * 32);
                [_mm512_mul_ps(d, signed_bytes(at)), _mm512_mul_ps(d, signed_bytes(at.add(16)))]
            }
            _ => [d, dmin],
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store<const R: usize>(sums: &[__m512; R], out: &mut TileOut) {
    for (sum, out) in sums.iter().zip(out) {
        // SAFETY: a row of `out` is 16 floats.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *sum) };
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
            let bits = _mm512_loadu_si512(code.add(256).cast());
            // Shifts are of 16 bits, but what crosses a byte is masked away.
            let shifted = [
                _mm512_slli_epi16::<4>(bits),
                _mm512_slli_epi16::<3>(bits),
                _mm512_slli_epi16::<2>(bits),
                _mm512_slli_epi16::<1>(bits),
                bits,
                _mm512_srli_epi16::<1>(bits),
                _mm512_srli_epi16::<2>(bits),
                _mm512_srli_epi16::<3>(bits),
            ];
            for (codes, bits) in groups.iter_mut().zip(shifted) {
                // codes | (bits & 16) in one instruction.
                *codes = _mm512_ternarylogic_epi32::<0xf8>(*codes, bits, _mm512_set1_epi8(16));
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

/// Sixteen signed bytes as f32.
///
/// # Safety
/// `at` points to 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn signed_bytes(at: *const u8) -> __m512 {
    // SAFETY: by contract.
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
}
