//! Typed access to a file's metadata.
//!
//! Every getter answers `Ok(None)` for a key that is absent and an error, which names the key, for a value of another
//! type. Integer getters take any integer width as long as the value fits.

use super::{
    GgufError, GgufFile,
    metadata::{Value, ValueType},
    reader::Reader,
};

type Getter<T> = Result<Option<T>, GgufError>;

impl GgufFile {
    /// An unsigned 32-bit integer.
    ///
    /// # Errors
    /// When the value is no integer or does not fit.
    pub fn u32(&self, key: &str) -> Getter<u32> {
        self.scalar(key, "an integer from 0 to 4294967295", integer)
    }

    /// An unsigned 64-bit integer.
    ///
    /// # Errors
    /// When the value is no integer or does not fit.
    pub fn u64(&self, key: &str) -> Getter<u64> {
        self.scalar(key, "an integer of at least 0", integer)
    }

    /// A size or a count.
    ///
    /// # Errors
    /// When the value is no integer or does not fit.
    pub fn usize(&self, key: &str) -> Getter<usize> {
        self.scalar(key, "an integer of at least 0", integer)
    }

    /// A signed 32-bit integer.
    ///
    /// # Errors
    /// When the value is no integer or does not fit.
    pub fn i32(&self, key: &str) -> Getter<i32> {
        self.scalar(key, "an integer that fits 32 bits", integer)
    }

    /// A float; a 64-bit one is rounded.
    ///
    /// # Errors
    /// When the value is no float.
    pub fn f32(&self, key: &str) -> Getter<f32> {
        self.scalar(key, "a float", float)
    }

    /// A boolean.
    ///
    /// # Errors
    /// When the value is no boolean.
    pub fn bool(&self, key: &str) -> Getter<bool> {
        self.scalar(key, "a boolean", boolean)
    }

    /// A string.
    ///
    /// # Errors
    /// When the value is no string or not UTF-8.
    pub fn str(&self, key: &str) -> Getter<&str> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(range)) => text(self.bytes(), range.clone(), key).map(Some),
            Some(other) => Err(wrong_type(key, "a string", other)),
        }
    }

    /// An array of strings.
    ///
    /// # Errors
    /// When the value is another type or one of the strings is not UTF-8.
    pub fn strings(&self, key: &str) -> Getter<Vec<&str>> {
        self.elements(key, "an array of strings", |value| match value {
            Value::String(range) => Some(range.clone()),
            _ => None,
        })?
        .map(|(start, ranges)| {
            // Elements were read from the array's own bytes: their ranges count from its start.
            ranges.into_iter().map(|r| text(self.bytes(), start + r.start..start + r.end, key)).collect()
        })
        .transpose()
    }

    /// An array of floats.
    ///
    /// # Errors
    /// When the value is another type.
    pub fn f32s(&self, key: &str) -> Getter<Vec<f32>> {
        Ok(self.elements(key, "an array of floats", float)?.map(|(_, values)| values))
    }

    /// An array of signed integers.
    ///
    /// # Errors
    /// When the value is another type or an element does not fit.
    pub fn i32s(&self, key: &str) -> Getter<Vec<i32>> {
        Ok(self.elements(key, "an array of integers that fit 32 bits", integer)?.map(|(_, values)| values))
    }

    /// An array of unsigned integers.
    ///
    /// # Errors
    /// When the value is another type or an element does not fit.
    pub fn u32s(&self, key: &str) -> Getter<Vec<u32>> {
        Ok(self.elements(key, "an array of integers from 0 to 4294967295", integer)?.map(|(_, values)| values))
    }

    /// An array of booleans.
    ///
    /// # Errors
    /// When the value is another type.
    pub fn bools(&self, key: &str) -> Getter<Vec<bool>> {
        Ok(self.elements(key, "an array of booleans", boolean)?.map(|(_, values)| values))
    }

    /// The value that `get` finds at `key`, where a model cannot do without it: `file.need(GgufFile::u32, "…")`.
    ///
    /// # Errors
    /// When the key is absent, or the getter's own.
    pub fn need<'a, T>(&'a self, get: impl FnOnce(&'a Self, &str) -> Getter<T>, key: &str) -> Result<T, GgufError> {
        get(self, key)?
            .ok_or_else(|| GgufError::metadata(key, "missing, and the model cannot be used without it; pull it again"))
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.header().metadata.get(key)
    }

    fn scalar<T>(&self, key: &str, wanted: &str, convert: impl Fn(&Value) -> Option<T>) -> Getter<T> {
        let Some(value) = self.value(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| wrong_type(key, wanted, value))
    }

    /// The elements of an array and the offset where they start.
    fn elements<T>(&self, key: &str, wanted: &str, convert: impl Fn(&Value) -> Option<T>) -> Getter<(usize, Vec<T>)> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let Value::Array { ty, count, range } = value else { return Err(wrong_type(key, wanted, value)) };
        let bytes = self.bytes().get(range.clone()).unwrap_or_default();
        let elements = read_elements(bytes, *ty, *count, key, |element| {
            convert(element).ok_or_else(|| wrong_type(key, wanted, value))
        })?;
        Ok(Some((range.start, elements)))
    }
}

fn read_elements<T>(
    bytes: &[u8],
    ty: ValueType,
    count: usize,
    key: &str,
    convert: impl Fn(&Value) -> Result<T, GgufError>,
) -> Result<Vec<T>, GgufError> {
    let mut reader = Reader::new(bytes);
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(convert(&Value::read_scalar(&mut reader, ty, key)?)?);
    }
    Ok(elements)
}

fn integer<T: TryFrom<u64> + TryFrom<i64>>(value: &Value) -> Option<T> {
    match *value {
        Value::Unsigned(value) => value.try_into().ok(),
        Value::Signed(value) => value.try_into().ok(),
        _ => None,
    }
}

fn float(value: &Value) -> Option<f32> {
    match *value {
        Value::Float(value) => Some(value as f32),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match *value {
        Value::Bool(value) => Some(value),
        _ => None,
    }
}

fn text<'a>(bytes: &'a [u8], range: std::ops::Range<usize>, key: &str) -> Result<&'a str, GgufError> {
    let bytes = bytes.get(range).unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| GgufError::Utf8 { what: format!("the value of {key:?}") })
}

fn wrong_type(key: &str, wanted: &str, found: &Value) -> GgufError {
    GgufError::metadata(key, format!("should be {wanted}, is {}", found.kind()))
}
