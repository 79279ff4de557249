use proptest::prelude::*;

use super::*;
use crate::PackedMatrix;

/// Rows of random blocks of a format with finite, moderate scales.
pub(crate) fn random_rows(format: Format, rows: usize, columns: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut data: Vec<u8> = (0..rows * format.file_row_bytes(columns)).map(|_| (next() >> 24) as u8).collect();
    for block in data.chunks_exact_mut(format.file_block_bytes()) {
        let halves: &[usize] = match format {
            Format::Q6_K => &[208],
            _ if format.has_min() => &[0, 2],
            _ => &[0],
        };
        for &at in halves {
            let value = half::f16::from_f32((next() % 2000) as f32 / 1000.0 - 1.0);
            block[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
    }
    data
}

fn activations(rows: usize, columns: usize, seed: u64) -> Activations {
    let mut x = Activations::default();
    x.resize(rows, columns);
    let mut state = seed | 1;
    let writer = x.writer();
    for row in 0..rows {
        let values: Vec<f32> = (0..columns)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        // SAFETY: one view at a time.
        unsafe { writer.row(row) }.quantize(&values);
    }
    x
}

/// The magnitude that rounding errors of a row are measured against: Σ|w·x|, from the dequantised values.
fn magnitude(matrix: &PackedMatrix, x: &Activations, row: usize, output: usize) -> f32 {
    let mut weights = vec![0.0; matrix.columns()];
    matrix.row(output, &mut weights);
    let line = |k: usize| x.tile(0, x.rows())[k / 32 * x.rows() + row];
    weights.iter().enumerate().map(|(k, w)| (w * f32::from(line(k).codes[k % 32]) * line(k).scale).abs()).sum()
}

#[track_caller]
fn check(isa: Isa, format: Format, columns: usize, rows: usize, seed: u64) {
    check_kernel(isa.name(), format, columns, rows, seed, &mut |panel, tile, got| {
        multiply(isa, panel, tile, got);
        let mut unpacked = vec![Unpacked::EMPTY; columns / BLOCK];
        if rows == MAX_ROWS && unpack(isa, panel, &mut unpacked) {
            let mut again = [[f32::NAN; 16]; MAX_ROWS];
            multiply_unpacked(isa, panel, &unpacked, tile, &mut again);
            assert_eq!(again, *got, "{isa:?} {format:?}: the same to the bit");
        }
    });
}

#[track_caller]
fn check_kernel(
    name: &str,
    format: Format,
    columns: usize,
    rows: usize,
    seed: u64,
    kernel: &mut dyn FnMut(Panel<'_>, RowTile<'_>, &mut TileOut),
) {
    let matrix =
        PackedMatrix::pack(format, PANEL_ROWS, columns, &random_rows(format, PANEL_ROWS, columns, seed)).unwrap();
    let x = activations(rows, columns, seed);
    let panel = matrix.panel(0);
    let tile = RowTile::new(&x, 0, rows);
    let (mut want, mut got) = ([[0.0; 16]; MAX_ROWS], [[f32::NAN; 16]; MAX_ROWS]);
    multiply(Isa::Portable, panel, tile, &mut want);
    kernel(panel, tile, &mut got);
    for row in 0..rows {
        for lane in 0..PANEL_ROWS {
            // Sums of the same integers in the same order; only the float epilogue may round differently (fused or not).
            let bound = 2e-6 * magnitude(&matrix, &x, row, lane) * (columns as f32 / 32.0).sqrt() + 1e-6;
            let (want, got) = (want[row][lane], got[row][lane]);
            assert!((want - got).abs() <= bound, "{name} {format:?} row {row} lane {lane}: {got} for {want} ± {bound}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_tier_equals_the_portable_one(seed in any::<u64>(), blocks in 1usize..5, rows in 1..=MAX_ROWS) {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for format in Format::ALL {
                check(isa, format, blocks * 256, rows, seed);
                if !format.is_k_quant() {
                    check(isa, format, blocks * 32, rows, seed);
                }
            }
        }
    }
}

/// Few machines have AVX-VNNI; many have its instruction in the encoding of AVX-512, and the rest of the tier is one code.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_avx_vnni_tier_equals_the_portable_one_in_the_encoding_of_avx512() {
    if !Isa::Avx512Vnni.is_available() {
        return;
    }
    for format in Format::ALL {
        for rows in 1..=MAX_ROWS {
            check_kernel("evex", format, 512, rows, rows as u64, &mut |panel, x, out| {
                let mut unpacked = vec![Unpacked::EMPTY; panel.columns / BLOCK];
                // SAFETY: the machine has the instructions; panel and rows are a matrix's and its input's.
                unsafe {
                    avx2::evex::multiply(panel, x, out);
                    if rows == MAX_ROWS {
                        let want = *out;
                        avx2::unpack(panel, &mut unpacked);
                        avx2::evex::multiply_unpacked(panel, &unpacked, x, out);
                        assert_eq!(*out, want, "{format:?}: the same to the bit");
                    }
                }
            });
        }
    }
}

#[test]
fn the_widest_tile_equals_the_portable_one() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for format in Format::ALL {
            check(isa, format, 512, MAX_ROWS, 7);
        }
    }
}

#[test]
fn eight_bit_codes_at_their_extremes_do_not_overflow() {
    let mut row = Vec::new();
    for _ in 0..PANEL_ROWS {
        row.extend(half::f16::from_f32(1.0).to_le_bytes());
        row.extend([0x80u8; 32]); // −128 in every place
    }
    let matrix = PackedMatrix::pack(Format::Q8_0, PANEL_ROWS, 32, &row).unwrap();
    let mut x = Activations::default();
    x.resize(1, 32);
    // SAFETY: one view at a time.
    unsafe { x.writer().row(0) }.quantize(&[1.0; 32]);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let mut out = [[0.0; 16]; MAX_ROWS];
        multiply(isa, matrix.panel(0), RowTile::new(&x, 0, 1), &mut out);
        assert!((out[0][3] + 4096.0).abs() < 0.01, "{isa:?}: {}", out[0][3]);
    }
}
