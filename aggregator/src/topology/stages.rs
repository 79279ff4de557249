//! Stages as the file has them, one function a kind.

use std::time::Duration;

use super::{
    Act, Answer, Choice, Condition, Gate, MAX_SEATS, Measure, Member, Otherwise, Overlap, Placement, Propose, Quorum,
    Rounds, Sees, Select, Stage, Synthesize, Then,
    members::{self, Context, Place, Read},
    nearest::hint,
    section::{Section, number, span, string, whole},
};

const KINDS: [&str; 5] = ["propose", "select", "gate", "act", "synthesize"];
/// How long stragglers get where the file does not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);
/// What measures how far drafts lie apart where the file does not say.
const EMBEDDER: &str = "all-minilm-l6-v2";

/// Reads one stage; `left` stages come after it.
pub(super) fn read(mut section: Section<'_>, context: &Context<'_>, left: usize) -> Option<Stage> {
    let kind = section.require("kind", |item| one_of(item, KINDS))?;
    match (kind, left) {
        ("propose" | "gate" | "act", 0) => section.wrong(
            "kind",
            "the last stage must be \"synthesize\", or \"select\" one draft: nobody would write the answer",
        ),
        ("synthesize", 1..) => {
            section.wrong("kind", "only the last stage may be \"synthesize\": use \"propose\" with one member here");
        }
        _ => {}
    }
    match kind {
        "propose" => propose(section, context).map(Stage::Propose),
        "select" => select(section, context, left == 0).map(Stage::Select),
        "gate" => gate(section, context, left).map(Stage::Gate),
        "act" => act(section, context).map(Stage::Act),
        _ => synthesize(section, context).map(Stage::Synthesize),
    }
}

/// One of a few words.
fn one_of<const N: usize>(item: &toml_edit::Item, words: [&'static str; N]) -> Result<&'static str, String> {
    let given = string(item)?;
    let unknown = || format!("\"{given}\" is none of {}; {}", words.join(", "), hint(&given, words));
    words.into_iter().find(|word| *word == given).ok_or_else(unknown)
}

fn select(mut section: Section<'_>, context: &Context<'_>, last: bool) -> Option<Select> {
    const WAYS: [&str; 6] = ["judge", "pairwise", "vote", "slm-mux", "diversity", "confidence"];
    let by = section.require("by", |item| one_of(item, WAYS));
    let keep = section.get("keep", |item| match whole::<usize>(item)? {
        0 => Err("is 0: nothing would go on".to_owned()),
        many if last && many > 1 => Err(format!("is {many}, but this is the last stage: one draft is the answer")),
        keep => Ok(keep),
    });
    let by = match by {
        Some("judge") => member(&mut section, context).map(Choice::Judge),
        Some("pairwise") => member(&mut section, context).map(Choice::Pairwise),
        Some("vote") => Some(Choice::Vote(answer(&mut section))),
        Some("slm-mux") => Some(Choice::SlmMux(answer(&mut section))),
        Some("diversity") => {
            let model =
                section.get("model", |item| string(item).and_then(|name| members::model_name(name, context.known)));
            Some(Choice::Diversity(model.unwrap_or_else(|| EMBEDDER.to_owned())))
        }
        Some(_) => Some(Choice::Confidence(measure(&mut section))),
        None => None,
    };
    section.finish();
    Some(Select { by: by?, keep: keep.unwrap_or(1) })
}

fn gate(mut section: Section<'_>, context: &Context<'_>, left: usize) -> Option<Gate> {
    let when = section.require("when", |item| one_of(item, ["agreement", "confidence", "judge"]));
    let when = match when {
        Some("agreement") => {
            let answer = answer(&mut section);
            let share = section.get("at_least", |item| match f64::from(number(item)?) {
                share if share > 0.0 && share <= 1.0 => Ok(share),
                other => Err(format!("{other} is no share of the drafts: give a number above 0 and at most 1")),
            });
            Some(Condition::Agreement(answer, share.unwrap_or(0.5)))
        }
        Some("confidence") => {
            let measure = measure(&mut section);
            let least = section.require("at_least", |item| match f64::from(number(item)?) {
                least if least >= 0.0 && (least <= 1.0 || measure == Measure::Margin) => Ok(least),
                other => Err(format!("{other} is never reached, or always: give a number between 0 and 1")),
            });
            least.map(|least| Condition::Confidence(measure, least))
        }
        Some(_) => member(&mut section, context).map(Box::new).map(Condition::Judge),
        None => None,
    };
    let skips = section.get("then", |item| one_of(item, ["stop", "skip"])) == Some("skip");
    let skip = section.get("skip", |item| match whole::<usize>(item)? {
        count if !skips || (1..left).contains(&count) => Ok(count),
        count => Err(format!("{count} stages cannot be left out: {left} follow, and the last must answer")),
    });
    if !skips && section.has("skip") {
        section.wrong("skip", "says how many stages are left out, which takes then = \"skip\"");
    }
    if skips && !section.has("skip") && left < 2 {
        section.wrong("then", "there is nothing to skip: the next stage is the last");
    }
    let otherwise = section.get("otherwise", |item| one_of(item, ["continue", "escalate"]));
    section.finish();
    Some(Gate {
        when: when?,
        then: if skips { Then::Skip(skip.unwrap_or(1)) } else { Then::Stop },
        otherwise: if otherwise == Some("escalate") { Otherwise::Escalate } else { Otherwise::Continue },
    })
}

fn act(mut section: Section<'_>, context: &Context<'_>) -> Option<Act> {
    if !section.has("member") {
        section.wrong_here(
            "\"member\" is missing: say who calls, such as member = { model = \"…\", apis = [\"CATALOGUE\"] }",
        );
    }
    let member = section.section("member").and_then(|member| members::read(member, context, Place::Actor).member);
    section.finish();
    Some(Act { member: member? })
}

fn member(section: &mut Section<'_>, context: &Context<'_>) -> Option<Member> {
    if !section.has("member") {
        section.wrong_here("\"member\" is missing: say who is asked, such as member = { model = \"…\" }");
    }
    members::read(section.section("member")?, context, Place::Writer).member
}

fn answer(section: &mut Section<'_>) -> Answer {
    match section.get("answer", |item| one_of(item, ["text", "number", "choice", "code"])) {
        Some("number") => Answer::Number,
        Some("choice") => Answer::Choice,
        Some("code") => Answer::Code,
        _ => Answer::Text,
    }
}

fn measure(section: &mut Section<'_>) -> Measure {
    match section.get("measure", |item| one_of(item, ["mean-logprob", "margin"])) {
        Some("margin") => Measure::Margin,
        _ => Measure::MeanLogprob,
    }
}

fn sees(section: &mut Section<'_>) -> Sees {
    match section.get("sees", |item| one_of(item, ["drafts", "changes", "nothing"])) {
        Some("changes") => Sees::Changes,
        Some("nothing") => Sees::Nothing,
        _ => Sees::Drafts,
    }
}

fn propose(mut section: Section<'_>, context: &Context<'_>) -> Option<Propose> {
    let entries = section.sections("members");
    if entries.is_empty() {
        section.wrong_here("\"members\" is missing or empty: list who writes, such as members = [{ model = \"…\" }]");
    }
    let read = |entry: Option<Section<'_>>| match entry {
        Some(entry) => members::read(entry, context, Place::Drafts),
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
    let rounds = section.get("rounds", |item| {
        whole(item).and_then(|rounds| Rounds::try_new(rounds).map_err(|wrong| wrong.to_string()))
    });
    let sees = sees(&mut section);
    section.finish();
    let quorum = quorum.or_else(|| Quorum::try_new(seats, seats).ok())?;
    let members = members.into_iter().map(|read| read.member).collect::<Option<Vec<_>>>()?;
    Some(Propose { members, quorum, grace, deadline, rounds: rounds.unwrap_or(Rounds::ONE), sees })
}

fn synthesize(mut section: Section<'_>, context: &Context<'_>) -> Option<Synthesize> {
    let placement = section.get("placement", |item| one_of(item, ["user", "system"]));
    let overlap = section.get("overlap", |item| one_of(item, ["chunk", "draft", "off"]));
    let window = section.get("window", |item| match whole::<usize>(item)? {
        window @ 2..=MAX_SEATS => Ok(window),
        other => Err(format!("a window of {other} drafts does not slide: give a number between 2 and {MAX_SEATS}")),
    });
    let sees = sees(&mut section);
    if !section.has("member") {
        section.wrong_here("\"member\" is missing: say who writes the answer, such as member = { model = \"…\" }");
    }
    let member = section.section("member").and_then(|member| members::read(member, context, Place::Writer).member);
    section.finish();
    Some(Synthesize {
        member: member?,
        placement: if placement == Some("system") { Placement::System } else { Placement::User },
        overlap: match overlap {
            Some("off") => Overlap::Off,
            Some("draft") => Overlap::Draft,
            _ => Overlap::Chunk,
        },
        sees,
        window,
    })
}

/// A span that something can happen in.
pub(super) fn positive_span(item: &toml_edit::Item) -> Result<Duration, String> {
    let read = span(item)?;
    if read.is_zero() { Err("is 0: nothing could be answered".to_owned()) } else { Ok(read) }
}
