//! The matrix as a table.

use crate::{
    cell::{Cell, End, Fault, Rest, Role},
    play::Outcome,
};

/// One line a fault and role, one column for how many of the others answer.
pub(crate) fn table(outcomes: &[(Cell, Outcome)]) -> String {
    let mut lines = vec![
        "| fault | who | all others answer | one does not | none does |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for fault in Fault::ALL {
        for role in Role::ALL {
            let cells = Rest::ALL.map(|rest| outcomes.iter().find(|(cell, _)| *cell == Cell { fault, role, rest }));
            if cells.iter().any(Option::is_some) {
                let [one, two, three] =
                    cells.map(|cell| cell.map_or_else(|| "–".to_owned(), |(_, outcome)| entry(outcome)));
                lines.push(format!("| {} | {} | {one} | {two} | {three} |", fault_name(fault), role_name(role)));
            }
        }
    }
    lines.join("\n")
}

fn entry(outcome: &Outcome) -> String {
    let what = match outcome.end {
        End::Synthesis if outcome.degraded => "answer, degraded".to_owned(),
        End::Synthesis => "answer".to_owned(),
        End::Draft => "a draft, degraded".to_owned(),
        End::Error(code) => code.name().to_owned(),
    };
    format!("{what}, {:.1} s", outcome.took.as_secs_f64())
}

fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill => "killed",
        Fault::Stop => "stopped",
        Fault::Slow => "ten times slower",
        Fault::NotText => "control characters",
        Fault::WrongBytes => "bytes that are no UTF-8",
        Fault::Huge => "a message of 5 MiB",
        Fault::Endless => "words for ever",
        Fault::Flood => "events without text for ever",
        Fault::Empty => "nothing",
        Fault::Loop => "a loop",
        Fault::BreakOff => "breaks off",
        Fault::Plausible => "wrong in good sentences",
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Proposer => "proposer",
        Role::OnlyProposer => "only proposer of its model",
        Role::Synthesiser => "synthesiser before its first token",
        Role::OnlySynthesiser => "the same, no other node",
        Role::Writing => "synthesiser after it",
        Role::Judge => "judge",
    }
}
