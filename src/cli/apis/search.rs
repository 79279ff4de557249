//! `synod apis search QUERY`

use std::time::Instant;

use clap::Args;
use serde::Serialize;
use synod_agent_node::apis::{
    Hit, Library, Retriever,
    calling::{rerank, width},
};
use synod_models::store::Store;
use tokio_util::sync::CancellationToken;

use crate::cli::{Context, models::open};
use crate::exit::{ExitCode, Failure};

const EXAMPLES: &str = "\
Retrievers: hybrid (meaning and words), bm25 (words; needs no model), dense (meaning).

Examples:
  synod apis search 'classify sports in videos' --catalogue torchhub
  synod apis search 'classify sports in videos' --rerank qwen2.5-coder-0.5b-instruct
  synod apis search 'what time is it in Lisbon' -k 3 --json | jq -r '.hits[].api'";

/// Find the APIs that fit a question
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Search {
    /// What should be done, in words
    query: String,
    /// How many APIs at most
    #[arg(short, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    k: u16,
    /// A name from `synod apis list`; not needed when there is only one
    #[arg(long, value_name = "NAME")]
    catalogue: Option<String>,
    /// How documents are ranked
    #[arg(long, default_value = "hybrid", value_parser = super::retriever())]
    retriever: Retriever,
    /// Have a chat model judge what was found, and order it
    #[arg(long, value_name = "MODEL")]
    rerank: Option<String>,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found<'a> {
    catalogue: &'a str,
    version: &'a str,
    retriever: Retriever,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerank: Option<&'a str>,
    hits: Vec<FoundApi<'a>>,
    ms: f64,
}

#[derive(Serialize)]
struct FoundApi<'a> {
    api: &'a str,
    score: f32,
    description: &'a str,
}

impl<'a> FoundApi<'a> {
    fn of(Hit { api, score }: &'a Hit) -> Self {
        Self { api: &api.name, score: *score, description: &api.description }
    }
}

pub(super) fn run(search: &Search, library: &Library, store: &Store, context: &Context) -> Result<(), Failure> {
    let name = match &search.catalogue {
        Some(name) => name.clone(),
        None => only(library)?,
    };
    let indexed = library.get(&name)?;
    let judge = search.rerank.as_ref();
    let judge = judge.map(|model| open::engine(store, model, 0, search.device, context)).transpose()?;
    let (start, k) = (Instant::now(), usize::from(search.k));
    let mut hits = indexed.search(&search.query, if judge.is_some() { width(k) } else { k }, search.retriever)?;
    if let Some(engine) = &judge {
        hits = rerank(engine, &search.query, hits, &CancellationToken::new()).map_err(open::unusable)?;
        hits.truncate(k);
    }
    let ms = start.elapsed().as_secs_f64() * 1e3;
    if search.json {
        let hits = hits.iter().map(FoundApi::of).collect();
        let (catalogue, version) = (indexed.catalogue().name(), indexed.catalogue().version());
        let (retriever, rerank) = (search.retriever, search.rerank.as_deref());
        return context.output.json(&Found { catalogue, version, retriever, rerank, hits, ms });
    }
    let line =
        |hit: &Hit| format!("{:6.2}  {}  {}", hit.score, hit.api.name, super::show::first_line(&hit.api.description));
    context.output.text(&hits.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// The only catalogue there is.
fn only(library: &Library) -> Result<String, Failure> {
    let mut names = library.names()?;
    match names.len() {
        1 => Ok(names.remove(0)),
        0 => Err(Failure::new(ExitCode::Usage, "there is no catalogue").hint("`synod apis add SOURCE` adds one")),
        _ => Err(Failure::new(ExitCode::Usage, format!("there are {} catalogues", names.len()))
            .hint(format!("name one with --catalogue: {}", names.join(", ")))),
    }
}
