//! Embeddings on disk, by the hash of their text, so that a change embeds what changed and nothing else.
//!
//! ```text
//! "synod vectors 1\n"  dimension: u32  entries: [key: 16 bytes, scale: f32, values: i8 × dimension]  sha256 of all before
//! ```
//! Little-endian. A file that is not like this is as good as none: everything in it can be computed again.

use std::{collections::HashMap, fs, path::Path};

use sha2::{Digest, Sha256};

use super::dense::{Key, Quantised};

const MAGIC: &[u8] = b"synod vectors 1\n";
const SUM_BYTES: usize = 32;
/// Some two million passages.
const MAX_BYTES: u64 = 1 << 30;

/// Embeddings by the hash of their text.
#[derive(Debug)]
pub(super) struct Vectors {
    dimension: usize,
    entries: HashMap<Key, Quantised>,
}

impl Vectors {
    /// Those of the file, if it has any of that dimension.
    pub(super) fn read(path: &Path, dimension: usize) -> Self {
        let is_small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= MAX_BYTES);
        let bytes = if is_small { fs::read(path).unwrap_or_default() } else { Vec::new() };
        let entries = parse(&bytes, dimension);
        if entries.is_none() && path.exists() {
            tracing::warn!(path = %path.display(), "the embeddings cannot be used: computing them again");
        }
        Self { dimension, entries: entries.unwrap_or_default() }
    }

    /// Replaces the file by those that are wanted.
    pub(super) fn write(&self, path: &Path, wanted: impl Fn(&Key) -> bool) -> Result<(), crate::apis::LibraryError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::try_from(self.dimension).unwrap_or(u32::MAX).to_le_bytes());
        let mut entries: Vec<_> = self.entries.iter().filter(|(key, _)| wanted(key)).collect();
        entries.sort_by_key(|(key, _)| **key);
        for (key, Quantised { scale, values }) in entries {
            bytes.extend(key);
            bytes.extend(scale.to_le_bytes());
            bytes.extend(values.iter().map(|value| value.to_le_bytes()[0]));
        }
        bytes.extend(Sha256::digest(&bytes));
        crate::apis::library::write(path, &bytes)
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Quantised> {
        self.entries.get(key)
    }

    pub(super) fn insert(&mut self, key: Key, vector: Quantised) {
        self.entries.insert(key, vector);
    }
}

fn parse(bytes: &[u8], dimension: usize) -> Option<HashMap<Key, Quantised>> {
    let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
    let rest = content.strip_prefix(MAGIC)?;
    let (written, entries) = rest.split_first_chunk::<4>()?;
    if Sha256::digest(content).as_slice() != sum || u32::from_le_bytes(*written) as usize != dimension {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let (key, rest) = bytes.split_first_chunk::<16>()?;
        let (scale, values) = rest.split_first_chunk::<4>()?;
        let values = values.iter().map(|&byte| i8::from_le_bytes([byte])).collect();
        Some((*key, Quantised { scale: f32::from_le_bytes(*scale), values }))
    };
    entries.chunks(size_of::<Key>() + 4 + dimension).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apis::retrieve::dense::{key, quantise};

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors");
        let mut vectors = Vectors::read(&path, 3);
        let (kept, dropped) = (key("kept"), key("dropped"));
        vectors.insert(kept, quantise(&[0.5, -1.0, 0.0]));
        vectors.insert(dropped, quantise(&[0.0, 0.0, 1.0]));
        vectors.write(&path, |key| *key == kept).unwrap();
        let read = Vectors::read(&path, 3);
        assert_eq!((read.get(&kept), read.contains(&dropped)), (vectors.get(&kept), false));
        assert!(!Vectors::read(&path, 4).contains(&kept), "another model's");
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(!Vectors::read(&path, 3).contains(&kept));
        fs::write(&path, &bytes[..10]).unwrap();
        assert!(!Vectors::read(&path, 3).contains(&kept));
    }
}
