//! A run told to a person.

use std::fmt::Write as _;

use synod_aggregator::records::{Called, Ended, Plan, Prompt, Record, Seat, Stretch};

use super::list::{span, when};

/// The run from its question to its answer; with the prompts that are in the record.
pub(super) fn story(record: &Record, heading: &dyn Fn(&str) -> String) -> String {
    let began = &record.began;
    let mut told = heading(&format!("run {}", began.run_id));
    let _ = writeln!(told, "  {}", began.topology.name);
    let _ = writeln!(told, "{}", how_it_went(record));
    if !began.part_of.is_empty() {
        let _ = writeln!(told, "a part of run {}", began.part_of);
    }
    let digest = began.topology.sha256.get(..12).unwrap_or_default();
    let _ = writeln!(
        told,
        "seed {} · prompt texts {} · build {} · topology {digest}",
        began.seed, began.prompts, began.build
    );
    for (role, text) in &began.question.messages {
        let _ = writeln!(told, "\n{}\n{}", heading(role), indented(text));
    }
    let ended = record.ended.as_ref();
    for (stage, plan) in began.stages.iter().enumerate() {
        let _ = writeln!(told, "\n{}", heading(&stage_line(stage, plan, ended)));
        let decision = ended.and_then(|ended| ended.stages.iter().find(|end| end.stage == stage));
        if let Some(end) = decision.filter(|end| !end.decision.is_empty()) {
            let _ = writeln!(told, "  {}", end.decision);
        }
        told += &seats(record, stage);
    }
    if let Some(ended) = ended {
        for warning in &ended.warnings {
            let _ = writeln!(told, "\nwarning: {warning}");
        }
        let name = if ended.error.is_empty() { "answer".to_owned() } else { format!("no answer: {}", ended.error) };
        let _ = write!(told, "\n{}\n{}", heading(&name), indented(&ended.answer));
    }
    told.trim_end().to_owned()
}

fn how_it_went(record: &Record) -> String {
    let begin = when(record.began.began_ms);
    let Some(ended) = &record.ended else {
        return format!("began {begin} and has not ended, or its process did first");
    };
    let tokens = &ended.usage;
    format!(
        "{}{} after {}, first token of the answer after {} · began {begin} · {} calls, {} tokens read ({} cached), {} written",
        ended.state,
        if ended.degraded { ", degraded," } else { "" },
        span(ended.total_ms),
        span(ended.first_token_ms),
        record.calls.len(),
        tokens.prompt,
        tokens.cached,
        tokens.completion,
    )
}

fn stage_line(stage: usize, plan: &Plan, ended: Option<&Ended>) -> String {
    let end = ended.and_then(|ended| ended.stages.iter().find(|end| end.stage == stage));
    let end = end.map_or_else(
        || "did not end".to_owned(),
        |end| match (end.answered, end.failed) {
            (0, 0) => span(end.ms),
            (answered, 0) => format!("{answered} answered, {}", span(end.ms)),
            (answered, failed) => format!("{answered} answered, {failed} lost, {}", span(end.ms)),
        },
    );
    format!("stage {} · {} · {end}", stage + 1, plan.kind)
}

/// Seats, and calls of seats that have none: those of a run that did not end.
fn seats(record: &Record, stage: usize) -> String {
    let known = record.ended.iter().flat_map(|ended| &ended.seats).filter(|seat| seat.stage == stage);
    let mut told: String = known.clone().map(|seat| seat_told(record, seat)).collect();
    let stray = |call: &&Called| call.stage == stage && !known.clone().any(|seat| seat.seat == call.seat);
    for call in record.calls.iter().filter(stray) {
        let _ = writeln!(told, "  seat {} · {}", call.seat + 1, call.model);
        told += &call_told(call, None);
    }
    told
}

fn seat_told(record: &Record, seat: &Seat) -> String {
    let mut told = format!("  seat {} · {}", seat.seat + 1, seat.model);
    if !seat.role.is_empty() {
        let _ = write!(told, " as {}", seat.role);
    }
    if !seat.nested_run_id.is_empty() {
        let _ = write!(told, " · run {}", seat.nested_run_id);
    }
    let _ = match seat.error.as_str() {
        "" => writeln!(
            told,
            " · {}, first token after {} · {}",
            span(seat.ms),
            span(seat.first_token_ms),
            seat.finish_reason
        ),
        error => writeln!(told, " · lost: {error}"),
    };
    let calls = record.calls.iter().filter(|call| (call.stage, call.seat) == (seat.stage, seat.seat));
    let mut before: Option<&Called> = None;
    for call in calls {
        told += &call_told(call, before);
        before = Some(call);
    }
    if !seat.text.is_empty() {
        let _ = writeln!(told, "{}", indented(&seat.text));
    }
    told
}

fn call_told(call: &Called, before: Option<&Called>) -> String {
    let mut told = format!("    {}asked {}", again(call, before), call.node);
    if !call.purpose.is_empty() {
        let _ = write!(told, " for {}", call.purpose);
    }
    let _ = match call.outcome.as_str() {
        "failed" => write!(told, ": failed after {}: {}", span(call.times.total_ms), call.error),
        outcome => write!(told, ": {outcome} after {}", span(call.times.total_ms)),
    };
    if let (Some(queue), Some(prefill), Some(decode)) =
        (call.times.queue_ms, call.times.prefill_ms, call.times.decode_ms)
    {
        let _ = write!(told, " (waited {queue} ms, read for {prefill} ms, wrote for {decode} ms)");
    }
    let tokens = &call.usage;
    let _ = write!(told, " · {} tokens read ({} cached), {} written", tokens.prompt, tokens.cached, tokens.completion);
    let sampling = serde_json::to_string(&call.sampling).unwrap_or_default();
    let _ = writeln!(told, "\n      sampling {sampling}");
    if !call.avoided.is_empty() {
        let _ = writeln!(told, "      passed over, as they had failed: {}", call.avoided.join(", "));
    }
    if !call.grammar.is_empty() {
        let _ = writeln!(told, "      had to match {}", call.grammar);
    }
    if let Some(prompt) = &call.prompt {
        told += &prompt_told(prompt);
    }
    told += &tokens_told(call);
    told
}

fn tokens_told(call: &Called) -> String {
    if call.tokens.is_empty() {
        return String::new();
    }
    if call.usage.completion == 0 && call.text.is_empty() {
        let weighed: Vec<_> = call.tokens.iter().map(|(id, logprob)| format!("{id} at {logprob:.2}")).collect();
        return format!("      weighed as the next token {}\n", weighed.join(", "));
    }
    let ids: Vec<_> = call.tokens.iter().map(|(id, _)| id.to_string()).collect();
    let text = if call.purpose.is_empty() { String::new() } else { format!("{}\n", indented(&call.text)) };
    format!("{text}      wrote tokens {}\n", ids.join(" "))
}

/// Why a seat asked once more.
fn again(call: &Called, before: Option<&Called>) -> &'static str {
    match before {
        None => "",
        Some(before) if call.began_ms < before.began_ms + before.times.total_ms => "meanwhile ",
        Some(_) => "then ",
    }
}

fn prompt_told(prompt: &Prompt) -> String {
    let cut: u32 = prompt.stretches.iter().map(|stretch| stretch.tokens_cut).sum();
    let digest = |sha256: &str| sha256.get(..12).unwrap_or("none").to_owned();
    let (model, template) = (digest(&prompt.model_sha256), digest(&prompt.template_sha256));
    let mut told = format!("      model file {model} · template {template} · node build {}\n", prompt.build);
    if cut > 0 {
        let _ = writeln!(told, "      {cut} tokens of quoted drafts were cut");
    }
    prompt.stretches.iter().for_each(|stretch| told += &stretch_told(stretch));
    told
}

fn stretch_told(stretch: &Stretch) -> String {
    let mut told = String::new();
    for piece in &stretch.pieces {
        let _ = writeln!(told, "      {}", if piece.control { "template" } else { "text" });
        for line in piece.text.split('\n') {
            let _ = writeln!(told, "        │{line}");
        }
    }
    let ids: Vec<String> = stretch.tokens.iter().map(ToString::to_string).collect();
    let cut = if stretch.tokens_cut > 0 { format!(", {} more cut", stretch.tokens_cut) } else { String::new() };
    let _ = writeln!(told, "      {} tokens{cut}: {}", ids.len(), ids.join(" "));
    told
}

fn indented(text: &str) -> String {
    text.trim().lines().map(|line| format!("      {line}\n")).collect::<String>().trim_end().to_owned()
}
