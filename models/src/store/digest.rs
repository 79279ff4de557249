//! SHA-256 of model files: the sum as a type, and hashing whole files with progress.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How much is read at once; large enough that the system call does not show, small enough for the cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// A SHA-256 sum, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Sum([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{0}` is not a sha256: it takes 64 hexadecimal digits")]
pub struct NotASha256(String);

impl FromStr for Sha256Sum {
    type Err = NotASha256;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotASha256(text.to_owned());
        // Checked first: slicing by bytes below must not meet a character of several bytes.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut sum = [0; 32];
        for (at, byte) in sum.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(sum))
    }
}

impl TryFrom<String> for Sha256Sum {
    type Error = NotASha256;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sha256Sum> for String {
    fn from(sum: Sha256Sum) -> Self {
        sum.to_string()
    }
}

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A sum in the making.
#[derive(Clone, Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Sha256Sum {
        Sha256Sum(self.0.finalize().into())
    }
}

/// Hashes what `reader` gives, calling `each` with the number of bytes so far. `each` stops it by an error.
pub(super) fn hash_reader(
    mut reader: impl Read,
    hasher: &mut Hasher,
    mut each: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut done_bytes = 0;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(done_bytes),
            Ok(read) => {
                hasher.update(&chunk[..read]);
                done_bytes += read as u64;
                each(done_bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The sum and the size of a whole file. `each` is called with the number of bytes so far; an error of it ends the
/// reading (that is how a caller cancels).
///
/// # Errors
/// The file cannot be read, or `each` failed.
pub fn sha256_file(path: &Path, each: impl FnMut(u64) -> io::Result<()>) -> io::Result<(Sha256Sum, u64)> {
    let mut hasher = Hasher::default();
    let size_bytes = hash_reader(File::open(path)?, &mut hasher, each)?;
    Ok((hasher.finish(), size_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_read_and_written_as_hexadecimal() {
        let text = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        let mut hasher = Hasher::default();
        hasher.update(b"hello world");
        assert_eq!(hasher.finish(), text.parse().unwrap());
        assert_eq!(text.parse::<Sha256Sum>().unwrap().to_string(), text);
    }

    #[test]
    fn what_is_not_64_digits_is_refused() {
        for text in ["", "abc", &"g".repeat(64), &"ä".repeat(32), &"+1".repeat(32)] {
            assert!(text.parse::<Sha256Sum>().is_err(), "{text}");
        }
    }
}
