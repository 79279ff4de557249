//! Checks of `[records]`.

use std::time::Duration;

use synod_aggregator::records::Texts;

use super::Records;
use super::check::Checker;
use super::key::KeyPath;
use super::shape::RecordsShape;

const DAY: Duration = Duration::from_hours(24);
const MAX_AGE_DAYS: i64 = 30;
const AGE_LIMIT_DAYS: i64 = 36_500;
const MAX_MB: i64 = 1024;
const MB_LIMIT: i64 = 1 << 20;

impl Checker<'_> {
    pub(super) fn records(&mut self, shape: RecordsShape) -> Records {
        let table = KeyPath::of(["records"]);
        let days = self.between(&table.key("max_age_days"), shape.max_age_days, MAX_AGE_DAYS, AGE_LIMIT_DAYS);
        let megabytes = self.between(&table.key("max_mb"), shape.max_mb, MAX_MB, MB_LIMIT);
        if shape.path.as_ref().is_some_and(|path| path.trim().is_empty()) {
            self.report(&table.key("path"), "must be a file, for instance `/var/lib/synod/records.sqlite`");
        }
        Records {
            enabled: shape.enabled.unwrap_or(true),
            path: shape.path.map(Into::into),
            max_age: DAY * days,
            max_bytes: u64::from(megabytes) << 20,
            texts: self.texts(&table.key("texts"), shape.texts.as_deref()),
        }
    }

    fn between(&mut self, key: &KeyPath, given: Option<i64>, usual: i64, most: i64) -> u32 {
        let given = given.unwrap_or(usual);
        if !(1..=most).contains(&given) {
            self.report(key, format!("{given} must be between 1 and {most}"));
        }
        u32::try_from(given).unwrap_or(1)
    }

    fn texts(&mut self, key: &KeyPath, name: Option<&str>) -> Texts {
        match name {
            None | Some("keep") => Texts::Keep,
            Some("hash") => Texts::Hash,
            Some("drop") => Texts::Drop,
            Some(other) => {
                self.report(key, format!("`{other}` is not `keep`, `hash` or `drop`"));
                Texts::Drop
            }
        }
    }
}
