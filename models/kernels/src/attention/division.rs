//! How a step's attention is cut into units that threads take.

use std::{ops::Range, sync::atomic::AtomicUsize};

use super::{Batch, Heads, SPAN, TILE, partial};
use crate::kv::BLOCK_TOKENS;

/// The most query vectors of an item.
const ITEM: usize = 48;
/// Units of a thread, where there is work enough.
const UNITS: usize = 4;

/// Rows that are attended together.
#[derive(Debug)]
pub(super) struct Item {
    /// Row indices, each range of one sequence.
    pub(super) runs: Vec<Range<usize>>,
    /// How many blocks all of them begin with.
    pub(super) shared: usize,
    /// The spans of blocks that any of them sees.
    pub(super) spans: Range<usize>,
    /// The blocks that any of them sees, span by span.
    pub(super) visits: Vec<Visit>,
    /// For each key-value head the units that are not done.
    pub(super) left: Vec<AtomicUsize>,
    /// Where its partial results begin.
    partials: usize,
}

/// A block that rows of an item see.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) span: usize,
    /// Which of the item's rows.
    pub(super) rows: Range<usize>,
    /// Which of their blocks.
    pub(super) index: usize,
    pub(super) block: u32,
}

/// An item's rows, the query heads of one key-value head, and some of the item's spans: one, or all of them.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) item: usize,
    pub(super) kv_head: usize,
    pub(super) spans: Range<usize>,
}

/// All units of a step.
#[derive(Debug)]
pub(super) struct Division {
    pub(super) items: Vec<Item>,
    pub(super) units: Vec<Unit>,
    /// Floats of all partial results.
    pub(super) partials: usize,
}

impl Item {
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().flat_map(Clone::clone)
    }

    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(Range::len).sum()
    }

    /// Where the partial result of a head and span is, of `length` floats.
    pub(super) fn partial_at(&self, kv_head: usize, span: usize, length: usize) -> usize {
        self.partials + (kv_head * self.spans.len() + span - self.spans.start) * length
    }
}

impl Division {
    /// Items are as large as pays, since their rows read a block once. Where that leaves threads idle, their spans are
    /// divided, unless smaller items give more of them work: in short contexts.
    pub(super) fn new(batch: &Batch, heads: Heads, window: Option<usize>, threads: usize) -> Self {
        let Heads { kv_heads, head_dim, .. } = heads;
        let (enough, group) = (threads * UNITS, heads.group());
        let fill = TILE.div_ceil(group);
        let most = (ITEM / group).max(fill);
        let even = (batch.rows.len() * kv_heads).div_ceil(enough).clamp(fill, most);
        let (large, small) = (batch.items(most, window), batch.items(even, window));
        let spans = large.iter().map(|item| item.spans.len()).sum::<usize>();
        let split = large.len() * kv_heads < enough && spans * kv_heads >= enough.min(small.len() * kv_heads);
        let mut items = if split { large } else { small };
        let mut units = Vec::new();
        let mut partials = 0;
        for (index, item) in items.iter_mut().enumerate() {
            item.visits = batch.visits(item, window);
            let each = if split { 1 } else { item.spans.len().max(1) };
            let parts = item.spans.len().div_ceil(each);
            item.left = (0..kv_heads).map(|_| AtomicUsize::new(parts)).collect();
            item.partials = partials;
            if parts > 1 {
                partials += parts * kv_heads * item.len() * group * partial::len(head_dim);
            }
            for start in item.spans.clone().step_by(each) {
                let spans = start..start + each;
                units.extend((0..kv_heads).map(|kv_head| Unit { item: index, kv_head, spans: spans.clone() }));
            }
        }
        Self { items, units, partials }
    }
}

impl Batch {
    /// The positions that a row sees.
    pub(super) fn sees(&self, row: usize, window: Option<usize>) -> Range<usize> {
        let end = self.rows[row].position + 1;
        window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Divides the rows into items of at most `most` rows: pieces of one sequence, or whole shares of sequences that have
    /// their first blocks in common (Hydragen, arXiv 2402.05099).
    fn items(&self, most: usize, window: Option<usize>) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        for run in self.runs(most) {
            let sees = self.sees(run.start, window).start..self.sees(run.end - 1, window).end;
            let spans = sees.start / (SPAN * BLOCK_TOKENS)..sees.end.div_ceil(SPAN * BLOCK_TOKENS);
            let joined = items.iter_mut().rev().find_map(|item| {
                let shared = common(self.blocks(&item.runs[0])[..item.shared].iter(), self.blocks(&run).iter());
                (shared > 0 && item.len() + run.len() <= most).then_some((item, shared))
            });
            match joined {
                Some((item, shared)) => {
                    item.shared = shared;
                    item.spans = item.spans.start.min(spans.start)..item.spans.end.max(spans.end);
                    item.runs.push(run);
                }
                None => {
                    let shared = self.blocks(&run).len();
                    items.push(Item {
                        shared,
                        runs: vec![run],
                        spans,
                        visits: Vec::new(),
                        left: Vec::new(),
                        partials: 0,
                    });
                }
            }
        }
        items
    }

    /// The blocks that an item's rows see: what they share once for all of them.
    fn visits(&self, item: &Item, window: Option<usize>) -> Vec<Visit> {
        let mut visits = Vec::new();
        let mut visit = |span: usize, rows: Range<usize>, run: &Range<usize>, blocks: Range<usize>| {
            let first = self.sees(run.start, window).start / BLOCK_TOKENS;
            let (start, end) = (blocks.start.max(span * SPAN).max(first), blocks.end.min((span + 1) * SPAN));
            let table = self.blocks(run);
            visits.extend((start..end).map(|index| Visit { span, rows: rows.clone(), index, block: table[index] }));
        };
        let first = |run: &&Range<usize>| self.sees(run.start, window).start;
        for span in item.spans.clone() {
            if let Some(earliest) = item.runs.iter().min_by_key(first) {
                visit(span, 0..item.len(), earliest, 0..item.shared);
            }
            let mut begin = 0;
            for run in &item.runs {
                visit(span, begin..begin + run.len(), run, item.shared..self.blocks(run).len());
                begin += run.len();
            }
        }
        visits
    }

    /// Runs of at most `most` rows of one sequence, as ranges of row indices.
    fn runs(&self, most: usize) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if run.len() < most && self.rows[run.start].sequence == row.sequence => run.end = index + 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }
}

fn common<'a>(a: impl Iterator<Item = &'a u32>, b: impl Iterator<Item = &'a u32>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::{super::BatchRow, *};

    fn batch(rows: &[(usize, usize)], tables: &[&[u32]]) -> Batch {
        let rows = rows.iter().map(|&(sequence, position)| BatchRow { sequence, position }).collect();
        Batch { rows, tables: tables.iter().map(|table| table.to_vec()).collect() }
    }

    #[test]
    fn sequences_with_a_common_beginning_are_taken_together() {
        let tables: [&[u32]; 4] = [&[1, 2, 3], &[1, 2, 4], &[5, 6], &[1, 7]];
        let items = batch(&[(0, 130), (1, 140), (2, 70), (3, 64)], &tables).items(3, None);
        assert_eq!((&items[0].runs[..], items[0].shared), (&[0..1, 1..2, 3..4][..], 1));
        assert_eq!((items.len(), items[1].len(), items[1].shared), (2, 1, 2));
        assert_eq!(batch(&[(0, 130), (1, 140)], &tables).items(3, None)[0].shared, 2);
    }

    #[test]
    fn what_sequences_share_is_visited_once_and_what_nobody_sees_never() {
        let tables: [&[u32]; 2] = [&[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5, 7]];
        let batch = batch(&[(0, 330), (1, 350)], &tables);
        let visits = |window| {
            let items = batch.items(2, window);
            let visits = batch.visits(&items[0], window).into_iter();
            visits.map(|visit| (visit.span, visit.rows, visit.index, visit.block)).collect::<Vec<_>>()
        };
        let own = [(1, 0..1, 5, 6), (1, 1..2, 5, 7)];
        assert_eq!(visits(Some(80)), [&[(0, 0..2, 3, 4), (1, 0..2, 4, 5)][..], &own].concat());
        assert_eq!(visits(None).len(), 5 + 2);
    }

    #[test]
    fn long_runs_are_cut() {
        let rows: Vec<_> = (0..5).map(|position| (0, position)).collect();
        let items = batch(&rows, &[&[9]]).items(2, None);
        assert_eq!(items.iter().map(Item::len).collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[test]
    fn short_contexts_are_divided_by_rows() {
        let heads = Heads { heads: 9, kv_heads: 3, head_dim: 64, query_scale: 1.0 };
        let rows: Vec<_> = (0..6).map(|sequence| (sequence, 70)).collect();
        let tables: [&[u32]; 6] = [&[1, 2], &[1, 3], &[1, 4], &[1, 5], &[1, 6], &[1, 7]];
        let division = Division::new(&batch(&rows, &tables), heads, None, 2);
        assert_eq!(division.items.iter().map(Item::len).collect::<Vec<_>>(), [3, 3]);
        assert_eq!((division.units.len(), division.partials), (6, 0));
    }

    #[test]
    fn long_contexts_of_few_rows_are_divided_by_spans_that_are_seen() {
        let heads = Heads { heads: 9, kv_heads: 3, head_dim: 64, query_scale: 1.0 };
        let table: Vec<u32> = (0..16).collect();
        let batch = batch(&[(0, 1000)], &[&table]);
        let division = Division::new(&batch, heads, None, 2);
        assert_eq!((division.units.len(), division.items[0].spans.clone()), (4 * 3, 0..4));
        assert_eq!(division.partials, 4 * 9 * 66);
        let division = Division::new(&batch, heads, Some(300), 2);
        assert_eq!((division.units.len(), division.items[0].spans.clone()), (2 * 3, 2..4));
    }
}
