//! Why a GGUF file could not be read.

use std::{io, path::PathBuf};

/// What is wrong with a GGUF file, where, and what its reader can do about it.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file could not be opened or mapped.
    #[error("cannot map model file {}", path.display())]
    Map {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The first four bytes are not `GGUF`.
    #[error(
        "not a GGUF file: it starts with bytes {found:02x?}, not \"GGUF\"; check that the download is the model itself"
    )]
    Magic {
        /// The bytes found instead, fewer than four in a file shorter than that.
        found: Vec<u8>,
    },
    /// The file was written for big-endian machines.
    #[error("GGUF file is big-endian; convert it to little-endian (gguf_convert_endian.py of llama.cpp does)")]
    BigEndian,
    /// A version other than 2 and 3.
    #[error("GGUF version {version} is not supported, only 2 and 3 are; convert the model again with a current tool")]
    Version {
        /// The version in the file.
        version: u32,
    },
    /// The file ends inside `what`.
    #[error(
        "GGUF file ends inside {what}: {needed} bytes are needed at offset {offset}, {left} are left; pull it again"
    )]
    Truncated {
        /// What was being read.
        what: String,
        /// Where it starts.
        offset: usize,
        /// How many bytes it takes.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// A count or length past the limit this reader sets.
    #[error("GGUF file declares {count} for {what}, more than the limit of {limit}; the file is damaged or hostile")]
    TooMany {
        /// What is counted.
        what: String,
        /// The count in the file.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// Text that is not UTF-8.
    #[error("{what} is not valid UTF-8")]
    Utf8 {
        /// Which text.
        what: String,
    },
    /// A metadata entry that breaks the format.
    #[error("metadata key {key:?}: {problem}")]
    Metadata {
        /// The key.
        key: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// A tensor entry that breaks the format.
    #[error("tensor {name:?}: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor of a type this build has no code for.
    #[error(
        "unsupported tensor type {ty} in tensor {name:?}; use a file quantised with F32, F16, BF16, Q4_0, Q4_1, Q5_0, \
         Q5_1, Q8_0, Q4_K, Q5_K or Q6_K (Q4_K_M files are)"
    )]
    UnsupportedType {
        /// The type's number in ggml.
        ty: u32,
        /// The tensor's name.
        name: String,
    },
    /// Bytes or values that do not fit the type they are dequantised from.
    #[error("cannot dequantise {bytes} bytes of {ty} into {values} values: {ty} stores {per_block}")]
    Dequantize {
        /// The type.
        ty: super::GgmlType,
        /// How many bytes were given.
        bytes: usize,
        /// How many values were asked for.
        values: usize,
        /// What a block holds, in words.
        per_block: String,
    },
}

impl GgufError {
    pub(crate) fn metadata(key: &str, problem: impl Into<String>) -> Self {
        Self::Metadata { key: key.to_owned(), problem: problem.into() }
    }

    pub(super) fn tensor(name: &str, problem: impl Into<String>) -> Self {
        Self::Tensor { name: name.to_owned(), problem: problem.into() }
    }
}
