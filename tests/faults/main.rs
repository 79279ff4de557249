//! A slow, dead or lying member costs at most its seat: played with real processes that are killed, stopped and slowed, and
//! with nodes that lie over real connections.
//!
//! Everything (see `docs/faults.md`):
//! `cargo test --release --test faults -- --include-ignored --nocapture --test-threads 1`; `SYNOD_FAULTS="fault: Stop"`
//! plays only the cells whose name has that in it, `SYNOD_FAULTS_DEADLINE=8` ends their runs sooner.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests, which say what they measured"
)]

mod asking;
mod cell;
mod hurt;
mod network;
mod play;
mod relay;
mod scripted;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod table;
mod vanished;

use cell::{Cell, Fault, Rest, Role};
use futures::{StreamExt, stream};
use play::Outcome;
use tokio::spawn;

/// Cells at a time: those with models have two processes that compute.
const WITH_MODELS: usize = 1;
const SCRIPTED: usize = 8;

/// Plays the cells and prints what came of them; panics with what is wrong in any. Models come last, and beside nothing: what
/// others wait for them is counted in seconds.
async fn play_all(cells: impl Iterator<Item = Cell>) {
    let (models, scripts): (Vec<Cell>, Vec<Cell>) = cells.partition(|cell| cell.fault.is_of_a_process());
    let mut outcomes = play_so_many(scripts, SCRIPTED).await;
    outcomes.extend(play_so_many(models, WITH_MODELS).await);
    println!("{}", table::table(&outcomes));
    for (cell, outcome) in &outcomes {
        println!("{cell:?}: {:?}", outcome.warnings);
    }
    let wrong = outcomes.iter().flat_map(|(cell, outcome)| {
        outcome.wrong.iter().map(move |what| format!("{cell:?} after {:?}: {what}", outcome.took))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn play_so_many(cells: Vec<Cell>, at_a_time: usize) -> Vec<(Cell, Outcome)> {
    let playing = cells.into_iter().map(|cell| async move { (cell, spawn(play::play(cell)).await.unwrap()) });
    stream::iter(playing).buffer_unordered(at_a_time).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_member_at_fault_costs_at_most_its_seat() {
    let cell = |fault, role| Cell { fault, role, rest: Rest::Enough };
    let cells = [
        cell(Fault::Kill, Role::OnlyProposer),
        cell(Fault::Stop, Role::Synthesiser),
        cell(Fault::Kill, Role::Writing),
        cell(Fault::Stop, Role::Judge),
        cell(Fault::Slow, Role::Proposer),
        cell(Fault::NotText, Role::Proposer),
        cell(Fault::WrongBytes, Role::Synthesiser),
        cell(Fault::Huge, Role::Synthesiser),
        cell(Fault::Endless, Role::Writing),
        cell(Fault::Flood, Role::OnlyProposer),
        cell(Fault::Flood, Role::OnlySynthesiser),
        cell(Fault::Empty, Role::Judge),
        cell(Fault::Empty, Role::Synthesiser),
        cell(Fault::Loop, Role::OnlyProposer),
        cell(Fault::BreakOff, Role::Proposer),
    ];
    play_all(cells.into_iter()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
#[ignore = "every cell takes minutes: see docs/faults.md"]
async fn a_member_at_fault_costs_at_most_its_seat_in_every_cell() {
    let only = std::env::var("SYNOD_FAULTS").unwrap_or_default();
    play_all(Cell::all().filter(|cell| format!("{cell:?}").contains(&only))).await;
}
