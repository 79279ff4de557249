//! Source `hf` in a build without feature `hf`.

use super::error::SourceError;
use super::join::Join;
use super::progress::Meter;
use super::pull::{FetchError, Pull};

pub(super) struct Remote<'a> {
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    pub(super) file: &'a str,
    pub(super) expected_bytes: u64,
}

impl Remote<'_> {
    /// Says what would be needed.
    pub(super) fn fetch(&self, _: &Pull<'_>, _: &mut Join<'_>, _: &Meter<'_>) -> Result<(), FetchError> {
        let Self { repo, revision, file, expected_bytes } = self;
        let what = format!(
            "this build has no Hugging Face support: build with `--features hf`, or fetch {file} ({expected_bytes} bytes) \
             of {repo} at {revision} yourself"
        );
        Err(SourceError::Hub(what).into())
    }
}
