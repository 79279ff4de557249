//! Linear layers over a ragged batch of rows.

use std::{cell::RefCell, ops::Range};

use crate::{
    Activations, Isa, PackedMatrix, Team,
    elementwise::Gate,
    format::{BLOCK, PANEL_ROWS},
    tile::{self, MAX_ROWS, Panel, RowTile, TileOut, Unpacked, tile_at},
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
    let places: usize = parts.iter().map(|part| part.weights.panels()).sum();
    let panel_of = |place: usize| {
        let (part, panel, _) = locate(parts, place);
        [part.weights.panel(panel)]
    };
    over_panels(team, places, x, &panel_of, &|place, [product], first, rows| {
        let (part, panel, column) = locate(parts, place);
        let lanes = (part.weights.rows() - panel * PANEL_ROWS).min(PANEL_ROWS);
        for (row, values) in product[..rows].iter_mut().enumerate() {
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
}

/// The gated half of a feed-forward layer: `out[row] = gate(x[row]·Gᵀ) ⊙ (x[row]·Uᵀ)`; `out` is `[x.rows, outputs]`
/// (GLU variants, arXiv 2002.05202).
pub fn gated(team: &Team, gate: &PackedMatrix, up: &PackedMatrix, by: Gate, x: &Activations, out: &mut [f32]) {
    assert!(gate.rows() == up.rows() && gate.columns() == up.columns() && gate.columns() == x.columns());
    assert_eq!(out.len(), x.rows() * gate.rows(), "the output is [rows, outputs]");
    let out = Out { start: out.as_mut_ptr(), width: gate.rows() };
    let panels_of = |place: usize| [gate.panel(place), up.panel(place)];
    over_panels(team, gate.panels(), x, &panels_of, &|place, [gates, ups], first, rows| {
        by.apply(team.isa(), gates[..rows].as_flattened_mut(), ups[..rows].as_flattened());
        let lanes = (gate.rows() - place * PANEL_ROWS).min(PANEL_ROWS);
        for (row, values) in gates[..rows].iter().enumerate() {
            // SAFETY: this panel's columns of this row are written by this item alone.
            unsafe { out.slice(first + row, place * PANEL_ROWS, lanes) }.copy_from_slice(&values[..lanes]);
        }
    });
}

/// A matrix that threads write distinct pieces of.
pub(crate) struct Out<T = f32> {
    pub(crate) start: *mut T,
    pub(crate) width: usize,
}

// SAFETY: `slice` hands out pieces that its callers keep apart.
unsafe impl<T: Send> Sync for Out<T> {}

impl<T> Out<T> {
    /// # Safety
    /// The piece lies in the matrix, and no two live pieces overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, row: usize, column: usize, length: usize) -> &mut [T] {
        debug_assert!(column + length <= self.width);
        // SAFETY: by contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.width + column), length) }
    }
}

/// Panels of an item at the most, in bytes: they stay in the second-level cache while all rows pass over them.
const ITEM_BYTES: usize = 768 << 10;
/// Activations that pass over the panels of an item together, in bytes.
const STRETCH_BYTES: usize = 1 << 20;
/// Items of a thread at the least, so that threads that start late or run slowly are made up for.
const ITEMS: usize = 64;
/// From so many rows on a panel is unpacked once for all tiles.
const UNPACK_ROWS: usize = 3 * MAX_ROWS;

/// One of the panels that an item multiplies rows with.
struct ItemPanel<'a> {
    panel: Panel<'a>,
    unpacked: &'a [Unpacked],
}

impl ItemPanel<'_> {
    fn multiply(&self, isa: Isa, x: RowTile<'_>, out: &mut TileOut) {
        if self.unpacked.is_empty() || x.rows < MAX_ROWS {
            tile::multiply(isa, self.panel, x, out);
        } else {
            tile::multiply_unpacked(isa, self.panel, self.unpacked, x, out);
        }
    }
}

/// What is done with a tile's products at a place: place, products, first row, rows.
type Writer<'a, const EACH: usize> = dyn Fn(usize, &mut [TileOut; EACH], usize, usize) + Sync + 'a;

/// Multiplies all rows with the panels of all places, a few places an item: `write(place, products, first, rows)` for each
/// place and each tile of rows.
fn over_panels<'a, const EACH: usize>(
    team: &Team,
    places: usize,
    x: &Activations,
    panels: &(dyn Fn(usize) -> [Panel<'a>; EACH] + Sync),
    write: &Writer<'_, EACH>,
) {
    let unpack =
        x.rows() >= UNPACK_ROWS && panels(0).iter().all(|panel| tile::unpacking_pays(team.isa(), panel.format));
    let blocks = x.columns() / BLOCK;
    let bytes = match unpack {
        true => EACH * blocks * size_of::<Unpacked>(),
        false => panels(0).iter().map(|panel| panel.bytes.len()).sum(),
    };
    let chunk = places.div_ceil(team.threads() * ITEMS).clamp(1, (ITEM_BYTES / bytes.max(1)).max(1));
    team.run(places.div_ceil(chunk), &|item| {
        let places = item * chunk..((item + 1) * chunk).min(places);
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            if unpack {
                scratch.resize(places.len() * EACH * blocks, Unpacked::EMPTY);
                let to = scratch.chunks_exact_mut(blocks);
                let gains =
                    places.clone().flat_map(panels).zip(to).all(|(panel, to)| tile::unpack(team.isa(), panel, to));
                if !gains {
                    scratch.clear();
                }
            }
            let mut products = [[[0.0; PANEL_ROWS]; MAX_ROWS]; EACH];
            for stretch in stretches(x) {
                for (i, place) in places.clone().enumerate() {
                    let panels = panels(place);
                    let panels: [ItemPanel<'_>; EACH] = std::array::from_fn(|n| ItemPanel {
                        panel: panels[n],
                        unpacked: scratch.chunks_exact(blocks).nth(i * EACH + n).unwrap_or(&[]),
                    });
                    let mut first = stretch.start;
                    while first < stretch.end {
                        let (_, rows) = tile_at(x.rows(), first);
                        let tile = RowTile::new(x, first, rows);
                        panels.iter().zip(&mut products).for_each(|(panel, out)| panel.multiply(team.isa(), tile, out));
                        write(place, &mut products, first, rows);
                        first += rows;
                    }
                }
            }
        });
    });
}

/// Whole tiles of rows whose activations fit the second-level cache together.
fn stretches(x: &Activations) -> impl Iterator<Item = Range<usize>> {
    let tile = MAX_ROWS * x.row_bytes();
    let rows = MAX_ROWS * (STRETCH_BYTES / tile.max(1)).max(1);
    let total = x.rows();
    (0..total).step_by(rows).map(move |first| first..(first + rows).min(total))
}

thread_local! {
    static SCRATCH: RefCell<Vec<Unpacked>> = const { RefCell::new(Vec::new()) };
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
