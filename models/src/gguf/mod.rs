//! GGUF, the file format of llama.cpp: metadata, a vocabulary and quantised tensors in one file.
//!
//! Model files come from strangers, so the reader treats them as hostile: every count, offset and size is checked before
//! it is used, and a file that opens has all its tensors inside it. The format is described in
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! [`GgufFile`] is the way in. [`dequantize()`] is the slow, exact reading of every tensor type that kernels are tested
//! against.

mod dequantize;
mod error;
mod getters;
mod header;
mod metadata;
mod reader;
mod tensor;
mod types;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{ops::Range, path::Path};

use synod_kernels::mapped::MappedFile;

pub use self::{
    dequantize::dequantize,
    error::GgufError,
    header::Header,
    metadata::{Value, ValueType},
    tensor::{TensorInfo, TensorView},
    types::GgmlType,
};

/// An open GGUF file: a checked header over mapped bytes.
#[derive(Debug)]
pub struct GgufFile {
    bytes: Bytes,
    header: Header,
}

#[derive(Debug)]
enum Bytes {
    Mapped(MappedFile),
    Owned(Vec<u8>),
}

impl GgufFile {
    /// Maps and checks the file at `path`. Tensor data is not read yet.
    ///
    /// # Errors
    /// When the file cannot be mapped or is not a GGUF file this crate can use.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let mapped = MappedFile::open(path).map_err(|source| GgufError::Map { path: path.to_owned(), source })?;
        let header = Header::parse(mapped.as_bytes())?;
        Ok(Self { bytes: Bytes::Mapped(mapped), header })
    }

    /// The same over bytes in memory (tests, fuzzing).
    ///
    /// # Errors
    /// When they are not a GGUF file this crate can use.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GgufError> {
        let header = Header::parse(&bytes)?;
        Ok(Self { bytes: Bytes::Owned(bytes), header })
    }

    /// The model's architecture, such as `llama` or `qwen2`; the prefix of its metadata keys.
    ///
    /// # Errors
    /// When the file does not say.
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.need(Self::str, "general.architecture")
    }

    /// The header, for listing everything in it.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All tensors, in file order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.header.tensors.iter().map(|info| self.view(info))
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.info(name).map(|info| self.view(info))
    }

    /// Gives back the memory that reading the tensor `name` took; see [`MappedFile::release`].
    pub fn release_tensor(&self, name: &str) {
        if let Some(info) = self.info(name) {
            self.release(info.range.clone());
        }
    }

    /// Gives back the memory that reading the first `bytes` of the tensor `name` took; see [`MappedFile::release`].
    pub fn release_head(&self, name: &str, bytes: usize) {
        if let Some(info) = self.info(name) {
            self.release(info.range.start..(info.range.start + bytes).min(info.range.end));
        }
    }

    /// Gives back the memory that reading a range of the file took; see [`MappedFile::release`].
    pub fn release(&self, range: Range<usize>) {
        if let Bytes::Mapped(file) = &self.bytes {
            file.release(range);
        }
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.header.by_name.get(name).and_then(|&i| self.header.tensors.get(i))
    }

    fn view<'a>(&'a self, info: &'a TensorInfo) -> TensorView<'a> {
        // The header was checked against these very bytes, so that the range is always there.
        let data = self.bytes().get(info.range.clone()).unwrap_or_default();
        TensorView { name: &info.name, shape: &info.shape, ty: info.ty, data }
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(file) => file.as_bytes(),
            Bytes::Owned(bytes) => bytes,
        }
    }
}
