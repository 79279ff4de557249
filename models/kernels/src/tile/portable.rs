//! The plain twin: what the other tiers must equal.

use super::{Panel, RowTile, TileOut};
use crate::{
    format::{BLOCK, Format, PANEL_ROWS},
    pack::BlockView,
};

pub(super) fn multiply(panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    let Panel { format, columns, bytes } = panel;
    let blocks = columns / BLOCK;
    for row in &mut out[..x.rows] {
        *row = [0.0; PANEL_ROWS];
    }
    for block in 0..blocks {
        let view = BlockView { format, columns, panel: bytes, block };
        for lane in 0..PANEL_ROWS {
            let codes: [i32; BLOCK] = std::array::from_fn(|k| i32::from(view.code(lane, k)) - format.offset());
            let (scale, min) = view.scale(lane, 0);
            let (second_scale, _) = view.scale(lane, BLOCK / 2);
            for row in 0..x.rows {
                let line = &x.lines[block * x.rows + row];
                let q = &line.codes;
                let dot = |range: std::ops::Range<usize>| range.map(|k| codes[k] * i32::from(q[k])).sum::<i32>() as f32;
                let product = if format == Format::Q6_K {
                    scale * dot(0..16) + second_scale * dot(16..32)
                } else {
                    scale * dot(0..32)
                };
                out[row][lane] += product * line.scale + min * line.weighted_sum;
            }
        }
    }
}
