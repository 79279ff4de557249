//! Decoding while other programs want the cores: a team must not be slower than one of its threads.

use std::process::{Child, Command, Stdio};

use serde::Serialize;
use synod_models::{engine::Engine, store::Store};

use super::{EngineBench, median, speed::threads, work};
use crate::{
    cli::{Context, models::open},
    exit::{ExitCode, Failure},
};

const BUSY: usize = 2;

#[derive(Serialize)]
pub(super) struct Contention {
    model: String,
    busy_processes: usize,
    threads: usize,
    team_tok_s: f64,
    one_thread_tok_s: f64,
    ratio: f64,
}

impl std::fmt::Display for Contention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, busy_processes, threads, team_tok_s, one_thread_tok_s, ratio } = self;
        writeln!(f, "{model} beside {busy_processes} busy processes")?;
        writeln!(f, "  1 thread   {one_thread_tok_s:>8.1} tok/s")?;
        write!(f, "  {threads} threads  {team_tok_s:>8.1} tok/s, × {ratio:.3}")
    }
}

pub(super) fn measure(bench: &EngineBench, store: &Store, context: &Context) -> Result<Contention, Failure> {
    let team = open::engine(store, &bench.model, bench.threads, bench.device, context)?;
    let one = open::engine(store, &bench.model, 1, bench.device, context)?;
    let rate = |engine: &Engine, round: usize| -> Result<f64, Failure> {
        let prompt = work::prompt(engine, bench.prompt_tokens, round);
        Ok(work::run(engine, &prompt, work::options(bench.decode_tokens))?.rate())
    };
    for engine in [&team, &one] {
        rate(engine, 0)?; // once to warm up
    }
    let _busy = (0..BUSY).map(|_| Busy::start()).collect::<Result<Vec<_>, _>>()?;
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for round in 1..=bench.rounds.max(1) {
        together.push(rate(&team, round)?);
        alone.push(rate(&one, round)?);
    }
    let (team_tok_s, one_thread_tok_s) = (median(together), median(alone));
    Ok(Contention {
        model: bench.model.clone(),
        busy_processes: BUSY,
        threads: threads(bench.threads),
        team_tok_s,
        one_thread_tok_s,
        ratio: team_tok_s / one_thread_tok_s,
    })
}

/// A process that never rests, until this is dropped.
struct Busy(Child);

impl Busy {
    fn start() -> Result<Self, Failure> {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null()).stdout(Stdio::null());
        let failed = |error| Failure::new(ExitCode::Failed, format!("could not start a busy process: {error}"));
        command.spawn().map(Self).map_err(failed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
