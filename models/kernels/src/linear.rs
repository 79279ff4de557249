//! Linear layers over a ragged batch of rows.

use crate::{
    Activations, PackedMatrix, Team,
    elementwise::Gate,
    format::PANEL_ROWS,
    tile::{self, MAX_ROWS, Panel, RowTile, TileOut, tile_rows},
};

/// One of the matrices that read the same input.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// `[outputs, inputs]`.
    pub weights: &'a PackedMatrix,
    /// `[outputs]`, added to the product.
    pub bias: Option<&'a [f32]>,
}

/// What becomes of what is in `out` already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It is replaced.
    Replace,
    /// The product is added to it (a residual stream).
    Add,
}

/// `out[row] = [x[row]·W₀ᵀ + b₀ | x[row]·W₁ᵀ + b₁ | …]`; `out` is `[x.rows, Σ outputs]`.
pub fn linear(team: &Team, parts: &[Part<'_>], x: &Activations, write: Write, out: &mut [f32]) {
    let width: usize = parts.iter().map(|part| part.weights.rows()).sum();
    assert_eq!(out.len(), x.rows() * width, "the output is [rows, outputs]");
    for part in parts {
        assert_eq!(part.weights.columns(), x.columns(), "weights and input have one width");
        assert!(part.bias.is_none_or(|bias| bias.len() == part.weights.rows()));
    }
    let out = Out { start: out.as_mut_ptr(), width };
    let panels: usize = parts.iter().map(|part| part.weights.panels()).sum();
    over_panels(team, panels, &|panel| {
        let (part, panel, column) = locate(parts, panel);
        each_tile(x, |first, rows| {
            let mut result = tile_of(team, part.weights, panel, x, first, rows);
            let lanes = (part.weights.rows() - panel * PANEL_ROWS).min(PANEL_ROWS);
            for (row, values) in result[..rows].iter_mut().enumerate() {
                if let Some(bias) = part.bias {
                    for (value, bias) in values.iter_mut().zip(&bias[panel * PANEL_ROWS..]) {
                        *value += bias;
                    }
                }
                // SAFETY: this panel's columns of this row are written by this item alone.
                let target = unsafe { out.slice(first + row, column + panel * PANEL_ROWS, lanes) };
                match write {
                    Write::Replace => target.copy_from_slice(&values[..lanes]),
                    Write::Add => target.iter_mut().zip(values).for_each(|(target, value)| *target += *value),
                }
            }
        });
    });
}

/// The gated half of a feed-forward layer: `out[row] = gate(x[row]·Gᵀ) ⊙ (x[row]·Uᵀ)`; `out` is `[x.rows, outputs]`
/// (GLU variants, arXiv 2002.05202).
pub fn gated(team: &Team, gate: &PackedMatrix, up: &PackedMatrix, by: Gate, x: &Activations, out: &mut [f32]) {
    assert!(gate.rows() == up.rows() && gate.columns() == up.columns() && gate.columns() == x.columns());
    assert_eq!(out.len(), x.rows() * gate.rows(), "the output is [rows, outputs]");
    let out = Out { start: out.as_mut_ptr(), width: gate.rows() };
    over_panels(team, gate.panels(), &|panel| {
        each_tile(x, |first, rows| {
            let mut gates = tile_of(team, gate, panel, x, first, rows);
            let ups = tile_of(team, up, panel, x, first, rows);
            by.apply(team.isa(), gates[..rows].as_flattened_mut(), ups[..rows].as_flattened());
            let lanes = (gate.rows() - panel * PANEL_ROWS).min(PANEL_ROWS);
            for (row, values) in gates[..rows].iter().enumerate() {
                // SAFETY: this panel's columns of this row are written by this item alone.
                unsafe { out.slice(first + row, panel * PANEL_ROWS, lanes) }.copy_from_slice(&values[..lanes]);
            }
        });
    });
}

/// A matrix that threads write distinct pieces of.
pub(crate) struct Out {
    pub(crate) start: *mut f32,
    pub(crate) width: usize,
}

// SAFETY: `slice` hands out pieces that its callers keep apart.
unsafe impl Sync for Out {}

impl Out {
    /// # Safety
    /// The piece lies in the matrix, and no two live pieces overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, row: usize, column: usize, length: usize) -> &mut [f32] {
        debug_assert!(column + length <= self.width);
        // SAFETY: by contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.width + column), length) }
    }
}

/// Runs `f(panel)` for all panels, in chunks that keep threads evenly busy.
fn over_panels(team: &Team, panels: usize, f: &(dyn Fn(usize) + Sync)) {
    let chunk = panels.div_ceil(team.threads() * 12).clamp(1, 16);
    team.run(panels.div_ceil(chunk), &|item| (item * chunk..((item + 1) * chunk).min(panels)).for_each(f));
}

/// Which part a panel of them all belongs to, its number there, and the part's first column.
fn locate<'a>(parts: &[Part<'a>], mut panel: usize) -> (Part<'a>, usize, usize) {
    let mut column = 0;
    for part in &parts[..parts.len() - 1] {
        if panel < part.weights.panels() {
            return (*part, panel, column);
        }
        panel -= part.weights.panels();
        column += part.weights.rows();
    }
    (parts[parts.len() - 1], panel, column)
}

fn each_tile(x: &Activations, mut f: impl FnMut(usize, usize)) {
    let mut first = 0;
    while first < x.rows() {
        let rows = tile_rows(x.rows() - first);
        f(first, rows);
        first += rows;
    }
}

fn tile_of(team: &Team, matrix: &PackedMatrix, panel: usize, x: &Activations, first: usize, rows: usize) -> TileOut {
    let mut out = [[0.0; PANEL_ROWS]; MAX_ROWS];
    let panel = Panel { format: matrix.format(), columns: matrix.columns(), bytes: matrix.panel(panel) };
    tile::multiply(team.isa(), panel, RowTile::new(x, first, rows), &mut out);
    out
}
