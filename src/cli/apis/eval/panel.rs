//! Who answers an evaluation: a model, several that vote, or the members of a topology.

use std::collections::HashMap;

use synod_agent_node::apis::{
    calling::{CallOptions, Choice},
    eval::{Member, Panel},
};
use synod_aggregator::topology::{Author, Member as Seat, Stage, Topology};
use synod_models::{
    engine::{Engine, Sampling},
    store::Store,
};

use super::{Chooser, Eval};
use crate::{
    cli::{Context, models::open, topology::named},
    config::Config,
    exit::{ExitCode, Failure},
    topologies,
};

/// Loads the models, each once, and seats them.
pub(super) fn open(eval: &Eval, config: &Config, store: &Store, context: &Context) -> Result<Panel, Failure> {
    let mut opening = Opening { eval, store, context, engines: HashMap::new() };
    match &eval.topology {
        Some(name) => opening.of_topology(named(&topologies::read(config)?, Some(name))?),
        None => opening.of_models(),
    }
}

struct Opening<'a> {
    eval: &'a Eval,
    store: &'a Store,
    context: &'a Context,
    engines: HashMap<String, Engine>,
}

impl Opening<'_> {
    /// The models of `--model` in turn, in so many seats.
    fn of_models(&mut self) -> Result<Panel, Failure> {
        let models = self.eval.models.iter().cycle().take(usize::from(self.eval.members)).enumerate();
        let members = models.map(|(seat, model)| self.member(model, seat, None)).collect::<Result<_, _>>()?;
        Ok(Panel { members, arbiter: None })
    }

    /// Whoever drafts first votes, and the synthesiser decides between calls that differ.
    fn of_topology(&mut self, topology: &Topology) -> Result<Panel, Failure> {
        let mut seats: Vec<&Seat> = Vec::new();
        let mut synthesiser = None;
        for stage in topology.stages() {
            match stage {
                Stage::Propose(_) if seats.is_empty() => seats = stage.seats().collect(),
                Stage::Synthesize(stage) => synthesiser = Some(&stage.member),
                _ => {}
            }
        }
        if seats.is_empty() {
            seats.extend(synthesiser.take());
        }
        let seated = seats.into_iter().enumerate();
        let members = seated.map(|(seat, member)| self.seat(member, seat)).collect::<Result<_, _>>()?;
        Ok(Panel { members, arbiter: synthesiser.map(|member| self.seat(member, 0)).transpose()? })
    }

    fn seat(&mut self, member: &Seat, seat: usize) -> Result<Member, Failure> {
        let Author::Model(model) = &member.author else {
            let message = format!("{} is a topology within one: here members are models", member.author.name());
            return Err(Failure::new(ExitCode::Usage, message));
        };
        self.member(model, seat, member.sampling.temperature.map(|temperature| temperature.get()))
    }

    /// Where nothing else is said, the first of several is greedy and the others draw.
    fn member(&mut self, model: &str, seat: usize, temperature: Option<f32>) -> Result<Member, Failure> {
        let Self { eval, store, context, engines } = self;
        let engine = match engines.get(model) {
            Some(engine) => engine.clone(),
            None => {
                let engine = open::engine(store, model, 0, eval.device, context)?;
                engines.insert(model.to_owned(), engine.clone());
                engine
            }
        };
        let temperature = temperature.unwrap_or(if seat == 0 { 0.0 } else { 0.7 });
        let seed = eval.seed.wrapping_add(seat as u64);
        let sampling = Sampling { temperature, top_p: 0.95, seed, ..Sampling::greedy() };
        let choice = match eval.choice {
            Chooser::Judged => Choice::Judged,
            Chooser::Written => Choice::Written,
        };
        let (required, max_calls) = (eval.required, eval.max_calls);
        let options = CallOptions { choice, required, max_calls, sampling, ..CallOptions::standard() };
        Ok(Member { engine, options })
    }
}
