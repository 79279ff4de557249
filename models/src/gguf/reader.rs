//! A cursor over the bytes of a header that can fail but not overrun.

use std::ops::Range;

use super::GgufError;

/// Reads little-endian values in order and names what it was reading when the bytes end.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Skips `length` bytes and says where they are. Nothing is allocated before the length has been checked.
    pub(super) fn take(&mut self, length: u64, what: impl Fn() -> String) -> Result<Range<usize>, GgufError> {
        match usize::try_from(length) {
            Ok(length) if length <= self.left() => {
                let range = self.position..self.position + length;
                self.position = range.end;
                Ok(range)
            }
            _ => Err(GgufError::Truncated { what: what(), offset: self.position, needed: length, left: self.left() }),
        }
    }

    pub(super) fn array<const N: usize>(&mut self, what: impl Fn() -> String) -> Result<[u8; N], GgufError> {
        let range = self.take(N as u64, what)?;
        let mut value = [0; N];
        value.copy_from_slice(&self.bytes[range]);
        Ok(value)
    }

    pub(super) fn u32(&mut self, what: impl Fn() -> String) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: impl Fn() -> String) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A count of things that take at least `size` bytes each: bounded by `limit` and by what is left of the file.
    pub(super) fn count(&mut self, limit: u64, size: usize, what: &str) -> Result<usize, GgufError> {
        let count = self.u64(|| format!("the number of {what}"))?;
        if count > limit {
            return Err(GgufError::TooMany { what: format!("the number of {what}"), count, limit });
        }
        let needed = count.saturating_mul(size as u64);
        if needed > self.left() as u64 {
            return Err(GgufError::Truncated {
                what: format!("{count} {what}"),
                offset: self.position,
                needed,
                left: self.left(),
            });
        }
        // The limits above are far below u32::MAX.
        Ok(count as usize)
    }

    /// The range of a string's bytes: a u64 length, then the bytes.
    pub(super) fn string(&mut self, limit: u64, what: impl Fn() -> String) -> Result<Range<usize>, GgufError> {
        let length = self.u64(&what)?;
        if length > limit {
            return Err(GgufError::TooMany { what: format!("the length of {}", what()), count: length, limit });
        }
        self.take(length, what)
    }

    /// A string that must be UTF-8 (keys and names).
    pub(super) fn text(&mut self, limit: u64, what: impl Fn() -> String) -> Result<&'a str, GgufError> {
        let range = self.string(limit, &what)?;
        std::str::from_utf8(&self.bytes[range]).map_err(|_| GgufError::Utf8 { what: what() })
    }
}
