//! Memory for a model's matrices, one after the other in huge pages.
//!
//! A step reads every weight once, so at four kilobytes a page it would miss the TLB as often as the page ends; and a
//! mapping for each matrix would be too small or lie too crooked for pages of two megabytes. Matrices lie in the order
//! in which they were asked for.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use memmap2::{MmapMut, MmapRaw};

/// Where pieces begin, so that the lines of a panel are whole cache lines, two by two.
const ALIGN: usize = 128;
/// A huge page on x86-64, and on most of aarch64.
const HUGE_PAGE: usize = 2 << 20;
/// Address space taken at a time. Only what is written takes memory.
const CHUNK: usize = 64 << 20;

/// Hands out pieces of memory that is zero.
#[derive(Debug, Default)]
pub struct Arena {
    open: Mutex<Option<Open>>,
}

/// The mapping that pieces come from, and what is left of it.
#[derive(Debug)]
struct Open {
    map: Arc<MmapRaw>,
    next: usize,
}

/// A piece of an arena, which belongs to nobody else. Its memory goes back to the system with it.
pub(crate) struct Piece {
    map: Arc<MmapRaw>,
    offset: usize,
    length: usize,
}

impl Arena {
    /// A piece of `length` bytes.
    ///
    /// # Errors
    /// When the system has no address space or memory for it.
    pub(crate) fn piece(&self, length: usize) -> std::io::Result<Piece> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let room = open.as_ref().is_some_and(|open| open.map.len() - open.next >= length);
        let Open { map, next } = match &mut *open {
            Some(open) if room => open,
            open => open.insert(Open::new(length)?),
        };
        let piece = Piece { map: Arc::clone(map), offset: *next, length };
        *next = (*next + length).next_multiple_of(ALIGN).min(map.len());
        Ok(piece)
    }
}

impl Open {
    fn new(length: usize) -> std::io::Result<Self> {
        let map = MmapMut::map_anon(length.max(CHUNK) + HUGE_PAGE)?;
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage); // only a hint: without it, more TLB misses
        let next = map.as_ptr().align_offset(HUGE_PAGE).min(HUGE_PAGE);
        Ok(Self { map: Arc::new(MmapRaw::from(map)), next })
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the arena hands out each byte of the mapping once, within its length; the mapping lives as long as we.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.offset), self.length) }
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes it the only slice.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.offset), self.length) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(pages) = crate::mapped::whole_pages(
            self.map.as_ptr() as usize,
            &(self.offset..self.offset + self.length),
            self.map.len(),
        ) {
            // SAFETY: the pages hold nothing but this piece, which is gone; nobody reads them again.
            let _ = unsafe {
                self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, pages.start, pages.len())
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zero_apart_and_outlive_the_arena() {
        let arena = Arena::default();
        let mut pieces: Vec<Piece> =
            [1, 0, 200_000, 130, CHUNK + 5, 3 << 20].into_iter().map(|n| arena.piece(n).unwrap()).collect();
        drop(arena);
        for (tag, piece) in (1u8..).zip(&mut pieces) {
            assert!(piece.iter().all(|byte| *byte == 0));
            assert_eq!(piece.as_ptr() as usize % ALIGN, 0);
            piece.fill(tag);
        }
        pieces.remove(2);
        for (tag, piece) in [1u8, 2, 4, 5, 6].into_iter().zip(&pieces) {
            assert!(piece.iter().all(|byte| *byte == tag), "piece {tag} is its own");
        }
    }
}
