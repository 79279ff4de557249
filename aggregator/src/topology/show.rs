//! Topologies for people: a paragraph, and a picture.

use std::fmt::Write as _;

use super::{Author, Choice, Condition, Member, Otherwise, Placement, Sees, Stage, Then, Topology, duration};

/// A few lines that say what a run through the topology does.
pub fn describe(topology: &Topology) -> String {
    let description = Some(topology.description()).filter(|text| !text.is_empty());
    let mut text = format!("{}{}\n", topology.name(), description.map(|text| format!(": {text}")).unwrap_or_default());
    let _ = writeln!(text, "deadline {}", duration::show(topology.deadline()));
    for (at, stage) in topology.stages().iter().enumerate() {
        let _ = writeln!(text, "{}. {}{}", at + 1, stage.kind(), terms(stage));
        for member in stage.members() {
            let _ = writeln!(text, "   - {}", member_line(member));
        }
    }
    text
}

/// The topology as a Mermaid flowchart.
pub fn graph(topology: &Topology) -> String {
    let mut text = String::from("flowchart LR\n    question([question])\n");
    let mut before = vec!["question".to_owned()];
    for (at, stage) in topology.stages().iter().enumerate() {
        let mut seats = Vec::new();
        let _ = writeln!(text, "    subgraph stage{at} [\"{}{}\"]", stage.kind(), terms(stage));
        for (seat, member) in stage.seats().enumerate() {
            let id = format!("s{at}m{seat}");
            let role = member.role.as_ref().map(|role| role.name.as_str()).filter(|name| !name.is_empty());
            let name = member_name(member);
            let label = role.map_or(name.clone(), |role| format!("{name}<br/>{role}"));
            let _ = writeln!(text, "        {id}[\"{}\"]", label.replace('"', "#quot;"));
            seats.push(id);
        }
        if seats.is_empty() {
            let id = format!("s{at}");
            let _ =
                writeln!(text, "        {id}{{{}}}", if matches!(stage, Stage::Gate(_)) { "gate" } else { "select" });
            seats.push(id);
        }
        text.push_str("    end\n");
        let _ = writeln!(text, "    {} --> {}", before.join(" & "), seats.join(" & "));
        before = seats;
    }
    let _ = writeln!(text, "    {} --> answer([answer])", before.join(" & "));
    text
}

fn terms(stage: &Stage) -> String {
    match stage {
        Stage::Propose(propose) => {
            let seats = stage.seats().count();
            let quorum = propose.quorum.get();
            let grace =
                if quorum < seats { format!(", grace {}", duration::show(propose.grace)) } else { String::new() };
            let deadline = propose.deadline.map(|span| format!(", deadline {}", duration::show(span)));
            let rounds =
                Some(propose.rounds.get()).filter(|rounds| *rounds > 1).map(|rounds| format!(", {rounds} rounds"));
            let sees = if propose.sees == Sees::Drafts { "" } else { sees(propose.sees) };
            let (rounds, deadline) = (rounds.unwrap_or_default(), deadline.unwrap_or_default());
            format!(" (quorum {quorum} of {seats}{grace}{deadline}{rounds}{sees})")
        }
        Stage::Select(select) => {
            let by = match &select.by {
                Choice::Judge(_) => "judge",
                Choice::Pairwise(_) => "pairwise rank",
                Choice::Vote(_) => "vote",
                Choice::SlmMux(_) => "each model's agreement with itself",
                Choice::Diversity(_) => "diversity",
                Choice::Confidence(_) => "confidence",
            };
            format!(" ({} by {by})", select.keep)
        }
        Stage::Gate(gate) => {
            let when = match &gate.when {
                Condition::Agreement(_, share) => format!("{share} of the drafts agree"),
                Condition::Confidence(_, least) => format!("confidence is {least} or more"),
                Condition::Judge(_) => "the judge says so".to_owned(),
            };
            let then = match gate.then {
                Then::Stop => "stop".to_owned(),
                Then::Skip(count) => format!("skip {count}"),
            };
            let otherwise = if gate.otherwise == Otherwise::Escalate { ", else begin anew" } else { "" };
            format!(" ({then} if {when}{otherwise})")
        }
        Stage::Act(_) => " (once)".to_owned(),
        Stage::Synthesize(synthesize) => {
            let mut terms = Vec::new();
            if synthesize.placement == Placement::System {
                terms.push("drafts in the system message".to_owned());
            }
            if let Some(window) = synthesize.window {
                terms.push(format!("windows of {window}"));
            }
            if synthesize.sees != Sees::Drafts {
                terms.push(sees(synthesize.sees).trim_start_matches(", ").to_owned());
            }
            if terms.is_empty() { String::new() } else { format!(" ({})", terms.join(", ")) }
        }
    }
}

fn sees(sees: Sees) -> &'static str {
    match sees {
        Sees::Drafts => ", sees the drafts",
        Sees::Changes => ", sees changes only",
        Sees::Nothing => ", sees no drafts",
    }
}

fn member_name(member: &Member) -> String {
    match &member.author {
        Author::Model(name) => name.clone(),
        Author::Topology(inner) => format!("topology {}", inner.name()),
    }
}

fn member_line(member: &Member) -> String {
    let mut line = member_name(member);
    if member.samples.get() > 1 {
        let _ = write!(line, " × {}", member.samples.get());
    }
    if let Some(role) = &member.role {
        let _ = write!(line, ", {}", if role.name.is_empty() { "own instructions" } else { &role.name });
    }
    if !member.apis.is_empty() {
        let _ = write!(line, ", calls of {}", member.apis.join(" and "));
    }
    if let Some(temperature) = member.sampling.temperature {
        let _ = write!(line, ", temperature {}", temperature.get());
    }
    if let Some(max_tokens) = member.sampling.max_tokens {
        let _ = write!(line, ", at most {} tokens", max_tokens.get());
    }
    line
}
