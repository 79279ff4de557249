//! `synod runs show RUN`

use clap::Args;
use synod_aggregator::records::Record;

use super::{Whose, source::Source, story::story};
use crate::cli::Context;
use crate::exit::Failure;

/// Show one run
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The run
    run: String,
    /// With the text and tokens that each model was given, and those it wrote
    #[arg(long)]
    prompts: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whose: Whose,
}

pub(super) async fn run(show: Show, context: Context) -> Result<(), Failure> {
    let mut record = Source::open(&show.whose, &context).await?.get(&show.run).await?;
    if !show.prompts {
        leave_out_prompts(&mut record);
    }
    match show.json {
        true => context.output.json(&record),
        false => context.output.text(&story(&record, &|text| context.output.heading(text))),
    }
}

fn leave_out_prompts(record: &mut Record) {
    for call in &mut record.calls {
        call.tokens.clear();
        if let Some(prompt) = &mut call.prompt {
            prompt.stretches.clear();
        }
    }
}
