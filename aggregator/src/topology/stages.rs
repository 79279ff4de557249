//! Stages as the file has them, one function a kind.

use std::time::Duration;

use super::{
    MAX_SEATS, Overlap, Placement, Propose, Quorum, Stage, Synthesize,
    members::{self, Context, Read},
    nearest::hint,
    section::{Section, span, string, whole},
};

const KINDS: [&str; 2] = ["propose", "synthesize"];
/// How long stragglers get where the file does not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// Reads one stage; `last` is whether it is the topology's last.
pub(super) fn read(mut section: Section<'_>, context: &Context<'_>, last: bool) -> Option<Stage> {
    let kind = section.require("kind", |item| {
        let kind = string(item)?;
        let unknown = || format!("unknown kind \"{kind}\": kinds are {}; {}", KINDS.join(" and "), hint(&kind, KINDS));
        KINDS.into_iter().find(|known| *known == kind).ok_or_else(unknown)
    })?;
    match (kind, last) {
        ("propose", false) => propose(section, context).map(Stage::Propose),
        ("propose", true) => {
            section.wrong("kind", "the last stage must be \"synthesize\": nobody would write the answer");
            propose(section, context).map(Stage::Propose)
        }
        (_, true) => synthesize(section, context).map(Stage::Synthesize),
        (_, false) => {
            section.wrong("kind", "only the last stage may be \"synthesize\": use \"propose\" with one member here");
            synthesize(section, context).map(Stage::Synthesize)
        }
    }
}

fn propose(mut section: Section<'_>, context: &Context<'_>) -> Option<Propose> {
    let entries = section.sections("members");
    if entries.is_empty() {
        section.wrong_here("\"members\" is missing or empty: list who writes, such as members = [{ model = \"…\" }]");
    }
    let read = |entry: Option<Section<'_>>| match entry {
        Some(entry) => members::read(entry, context, true),
        None => Read { member: None, seats: 1 },
    };
    let members: Vec<Read> = entries.into_iter().map(read).collect();
    let seats: usize = members.iter().map(|member| member.seats).sum();
    if seats > MAX_SEATS {
        section.wrong("members", format!("{seats} seats: a stage has at most {MAX_SEATS}"));
    }
    let quorum = section.get("quorum", |item| {
        let wanted = whole(item)?;
        // Without members that mistake is told already.
        Quorum::try_new(wanted, if seats == 0 { usize::MAX } else { seats }).map_err(|wrong| wrong.to_string())
    });
    let grace = section.get("grace", span).unwrap_or(DEFAULT_GRACE);
    let deadline = section.get("deadline", positive_span);
    section.finish();
    let quorum = quorum.or_else(|| Quorum::try_new(seats, seats).ok())?;
    let members = members.into_iter().map(|read| read.member).collect::<Option<Vec<_>>>()?;
    Some(Propose { members, quorum, grace, deadline })
}

fn synthesize(mut section: Section<'_>, context: &Context<'_>) -> Option<Synthesize> {
    let placement = section.get("placement", |item| match string(item)?.as_str() {
        "user" => Ok(Placement::User),
        "system" => Ok(Placement::System),
        other => Err(format!("unknown placement \"{other}\": it is \"user\" or \"system\"")),
    });
    let overlap = section.get("overlap", |item| match string(item)?.as_str() {
        "off" => Ok(Overlap::Off),
        "draft" => Ok(Overlap::Draft),
        "chunk" => Ok(Overlap::Chunk),
        other => Err(format!("unknown overlap \"{other}\": it is \"chunk\", \"draft\" or \"off\"")),
    });
    if !section.has("member") {
        section.wrong_here("\"member\" is missing: say who writes the answer, such as member = { model = \"…\" }");
    }
    let member = section.section("member").and_then(|member| members::read(member, context, false).member);
    section.finish();
    Some(Synthesize {
        member: member?,
        placement: placement.unwrap_or(Placement::User),
        overlap: overlap.unwrap_or(Overlap::Chunk),
    })
}

/// A span that something can happen in.
pub(super) fn positive_span(item: &toml_edit::Item) -> Result<Duration, String> {
    let read = span(item)?;
    if read.is_zero() { Err("is 0: nothing could be answered".to_owned()) } else { Ok(read) }
}
