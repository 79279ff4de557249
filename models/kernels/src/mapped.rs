//! A model file mapped into memory, read-only.
//!
//! Weights are read once, while they are repacked, and then never again. [`MappedFile::release`] gives their pages back
//! so that a node holds one copy of its weights, not two.

use std::{fs::File, io, ops::Range, path::Path};

use memmap2::Mmap;

/// A whole file as read-only memory.
///
/// Map only files that nobody changes in place: the store writes a model once and renames it, so that a mapped file stays
/// what it was. A file that is cut short while it is mapped ends the process with SIGBUS, as with any mapping.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Opens and maps the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened, or cannot be mapped (a directory, a pipe, an address space too small).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and private to this struct. What the caller must keep, that nobody writes to
        // the file while it is mapped, is in the type's documentation and held by the model store (rename into place).
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }

    /// The file's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets the system drop the whole pages inside `range` from this process; reading them again fetches them from the
    /// file. Pages that are only partly inside stay. It is advice: what the system refuses costs memory, nothing else.
    pub fn release(&self, range: Range<usize>) {
        let Some(pages) = whole_pages(self.map.as_ptr() as usize, &range, self.map.len()) else { return };
        self.drop_pages(&pages);
    }

    #[cfg(unix)]
    fn drop_pages(&self, pages: &Range<usize>) {
        let advice = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: DONTNEED is unsound where it throws away written bytes. This mapping is read-only and backed by a file,
        // so a dropped page comes back with the same bytes at the next access, also through slices that are still alive.
        let _ = unsafe { self.map.unchecked_advise_range(advice, pages.start, pages.len()) };
    }

    #[cfg(not(unix))]
    fn drop_pages(&self, _pages: &Range<usize>) {}
}

/// The part of `range` (offsets into a mapping of `len` bytes at address `base`) that is made of the system's whole pages.
pub(crate) fn whole_pages(base: usize, range: &Range<usize>, len: usize) -> Option<Range<usize>> {
    pages_within(base, range, len, page_size())
}

fn pages_within(base: usize, range: &Range<usize>, len: usize, page: usize) -> Option<Range<usize>> {
    let first = base.checked_add(range.start)?.checked_next_multiple_of(page)? - base;
    let end = base.checked_add(range.end.min(len))?;
    let last = (end - end % page).checked_sub(base)?;
    (first < last).then_some(first..last)
}

#[cfg(unix)]
fn page_size() -> usize {
    // SAFETY: sysconf reads a constant of the system; it has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|&bytes| bytes > 0).unwrap_or(4096)
}

#[cfg(not(unix))]
fn page_size() -> usize {
    4096
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("synod-mapped-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_released_range_reads_the_same_bytes_again() {
        let bytes: Vec<u8> = (0..50_000_u32).map(|i| (i % 251) as u8).collect();
        let path = temporary("release", &bytes);
        let file = MappedFile::open(&path).unwrap();
        assert_eq!(file.as_bytes(), bytes);
        file.release(100..49_000);
        file.release(0..usize::MAX);
        file.release(60_000..70_000);
        #[expect(clippy::reversed_empty_ranges, reason = "a reversed range must do nothing")]
        file.release(20_000..10);
        assert_eq!(file.as_bytes(), bytes);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_empty_file_maps_to_no_bytes() {
        let path = temporary("empty", b"");
        assert_eq!(MappedFile::open(&path).unwrap().as_bytes(), b"");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn only_whole_pages_inside_the_range_are_released() {
        assert_eq!(pages_within(0x1000, &(1..0x2fff), 0x10_000, 0x1000), Some(0x1000..0x2000));
        assert_eq!(pages_within(0x1000, &(0..0x3000), 0x10_000, 0x1000), Some(0..0x3000));
        assert_eq!(pages_within(0x1000, &(1..0xfff), 0x10_000, 0x1000), None);
        assert_eq!(pages_within(0x1000, &(0..usize::MAX), 0x2800, 0x1000), Some(0..0x2000));
        assert_eq!(pages_within(0x1000, &(usize::MAX..usize::MAX), 0x2800, 0x1000), None);
    }
}
