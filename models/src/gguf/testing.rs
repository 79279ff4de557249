//! A writer for small GGUF files, for tests of the reader and of what is built on it.

use super::GgmlType;

/// Collects a file's parts; nothing is checked, so that wrong files can be written too.
pub(crate) struct Writer {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u32,
    pub(crate) alignment: usize,
    metadata: Vec<Vec<u8>>,
    tensors: Vec<(Vec<u8>, u64)>,
    data: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { magic: *b"GGUF", version: 3, alignment: 32, metadata: vec![], tensors: vec![], data: vec![] }
    }

    /// A metadata entry from its value type and its bytes.
    pub(crate) fn raw(mut self, key: &str, ty: u32, value: &[u8]) -> Self {
        self.metadata.push([&string(key)[..], &ty.to_le_bytes(), value].concat());
        self
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, 7, &[value.into()])
    }

    pub(crate) fn str(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &string(value))
    }

    pub(crate) fn strings(self, key: &str, values: &[impl AsRef<str>]) -> Self {
        let elements: Vec<u8> = values.iter().flat_map(|value| string(value.as_ref())).collect();
        self.array(key, 8, values.len() as u64, &elements)
    }

    pub(crate) fn f32s(self, key: &str, values: &[f32]) -> Self {
        self.array(key, 6, values.len() as u64, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
    }

    pub(crate) fn i32s(self, key: &str, values: &[i32]) -> Self {
        self.array(key, 5, values.len() as u64, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
    }

    pub(crate) fn array(self, key: &str, ty: u32, count: u64, elements: &[u8]) -> Self {
        self.raw(key, 9, &[&ty.to_le_bytes()[..], &count.to_le_bytes(), elements].concat())
    }

    /// A tensor with its data, at the next aligned offset.
    pub(crate) fn tensor(mut self, name: &str, shape: &[u64], ty: GgmlType, data: &[u8]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(self.alignment), 0);
        let offset = self.data.len() as u64;
        self.data.extend_from_slice(data);
        self.tensor_at(name, shape, ty as u32, offset)
    }

    /// A tensor entry that says whatever the test wants.
    pub(crate) fn tensor_at(mut self, name: &str, shape: &[u64], ty: u32, offset: u64) -> Self {
        let mut entry = string(name);
        entry.extend((shape.len() as u32).to_le_bytes());
        entry.extend(shape.iter().flat_map(|size| size.to_le_bytes()));
        entry.extend(ty.to_le_bytes());
        self.tensors.push((entry, offset));
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut file = self.magic.to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        file.extend(self.metadata.concat());
        for (entry, offset) in self.tensors {
            file.extend(entry);
            file.extend(offset.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(self.alignment), 0);
        file.extend(self.data);
        file
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}
