//! Reading one table: each key by name and type; what is left over at the end is unknown.

use std::{fmt::Display, ops::Range, time::Duration};

use toml_edit::{Item, TableLike, Value};

use super::{duration, mistakes::Mistakes, nearest::hint};

/// A table of the file, its path, and where its mistakes go.
pub(super) struct Section<'t> {
    table: &'t dyn TableLike,
    path: String,
    span: Range<usize>,
    mistakes: &'t Mistakes<'t>,
    /// The keys that were asked for: they are the known ones.
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub(super) fn root(table: &'t dyn TableLike, mistakes: &'t Mistakes<'t>) -> Self {
        Self { table, path: String::new(), span: 0..0, mistakes, known: Vec::new() }
    }

    /// A value, if it is there and right.
    pub(super) fn get<T, E: Display>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Item) -> Result<T, E>,
    ) -> Option<T> {
        let item = self.item(key)?;
        read(item).map_err(|wrong| self.wrong(key, wrong.to_string())).ok()
    }

    /// A value that must be there.
    pub(super) fn require<T, E: Display>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Item) -> Result<T, E>,
    ) -> Option<T> {
        if self.item(key).is_none() {
            self.wrong_here(format!("\"{key}\" is missing"));
            return None;
        }
        self.get(key, read)
    }

    /// A table under a key.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'t>> {
        let item = self.item(key)?;
        let path = self.path_of(key);
        self.child(item, path)
    }

    /// The tables of an array under a key, `None` for one that is no table.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Option<Section<'t>>> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let path = self.path_of(key);
        if let Some(tables) = item.as_array_of_tables() {
            let tables = tables.iter().enumerate();
            return tables.map(|(at, table)| Some(self.of(table, format!("{path}[{at}]"), table.span()))).collect();
        }
        let Some(array) = item.as_array() else {
            self.wrong(key, format!("expected a list of tables, found {}", describe(item)));
            return Vec::new();
        };
        let of_value = |(at, value): (usize, &'t Value)| match value.as_inline_table() {
            Some(table) => Some(self.of(table, format!("{path}[{at}]"), value.span())),
            None => {
                let span = value.span().unwrap_or_else(|| self.span.clone());
                let message = format!("expected a table such as {{ model = \"…\" }}, found a {}", value.type_name());
                self.mistakes.add(&format!("{path}[{at}]"), span, message);
                None
            }
        };
        array.iter().enumerate().map(of_value).collect()
    }

    /// Every key with the table under it: for tables whose keys the user names.
    pub(super) fn named_sections(&self) -> Vec<(&'t str, Section<'t>)> {
        let children = self.table.iter().map(|(key, item)| (key, self.child(item, self.path_of(key))));
        children.filter_map(|(key, child)| Some((key, child?))).collect()
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.table.iter().filter(|(key, _)| !self.known.contains(key)) {
            self.wrong_key(key, format!("unknown key: {}", hint(key, self.known.iter().copied())));
        }
    }

    /// The keys that nobody has asked for so far.
    pub(super) fn others(&self) -> impl Iterator<Item = &'t str> {
        self.table.iter().map(|(key, _)| key).filter(|key| !self.known.contains(key))
    }

    /// Reports a mistake at a key's value.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) {
        let span = self.table.get(key).and_then(Item::span).unwrap_or_else(|| self.key_span(key));
        self.mistakes.add(&self.path_of(key), span, message);
    }

    /// Reports a mistake in a key's name.
    pub(super) fn wrong_key(&self, key: &str, message: impl Into<String>) {
        self.mistakes.add(&self.path_of(key), self.key_span(key), message);
    }

    /// Reports a mistake of the table as a whole.
    pub(super) fn wrong_here(&self, message: impl Into<String>) {
        self.mistakes.add(&self.path, self.span.clone(), message);
    }

    /// Whether the key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn item(&mut self, key: &'static str) -> Option<&'t Item> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.get(key)
    }

    fn child(&self, item: &'t Item, path: String) -> Option<Section<'t>> {
        let span = item.span().unwrap_or_else(|| self.span.clone());
        let Some(table) = item.as_table_like() else {
            self.mistakes.add(&path, span, format!("expected a table, found {}", describe(item)));
            return None;
        };
        Some(self.of(table, path, Some(span)))
    }

    fn of(&self, table: &'t dyn TableLike, path: String, span: Option<Range<usize>>) -> Section<'t> {
        let span = span.unwrap_or_else(|| self.span.clone());
        Section { table, path, span, mistakes: self.mistakes, known: Vec::new() }
    }

    fn key_span(&self, key: &str) -> Range<usize> {
        let entry = self.table.get_key_value(key);
        entry.and_then(|(key, item)| key.span().or_else(|| item.span())).unwrap_or_else(|| self.span.clone())
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn describe(item: &Item) -> String {
    let name = item.type_name();
    let article = if name.starts_with(['a', 'i', 'o', 'e']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// Text.
pub(super) fn string(item: &Item) -> Result<String, String> {
    item.as_str().map(str::to_owned).ok_or_else(|| format!("expected text in quotes, found {}", describe(item)))
}

/// A number, with or without a fraction.
pub(super) fn number(item: &Item) -> Result<f32, String> {
    let value = item.as_float().or_else(|| item.as_integer().map(|whole| whole as f64));
    value.map(|value| value as f32).ok_or_else(|| format!("expected a number, found {}", describe(item)))
}

/// A whole number that is not negative.
pub(super) fn whole<T: TryFrom<i64>>(item: &Item) -> Result<T, String> {
    let value = item.as_integer().ok_or_else(|| format!("expected a whole number, found {}", describe(item)))?;
    T::try_from(value).map_err(|_| format!("{value} is out of range: give a whole number, 0 or more"))
}

/// A span of time.
pub(super) fn span(item: &Item) -> Result<Duration, String> {
    let text = item.as_str().ok_or_else(|| format!("expected a time such as \"5s\", found {}", describe(item)))?;
    duration::parse(text)
}

/// A list of texts.
pub(super) fn strings(item: &Item) -> Result<Vec<String>, String> {
    let wrong = || format!("expected a list of texts, found {}", describe(item));
    let array = item.as_array().ok_or_else(wrong)?;
    array.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
