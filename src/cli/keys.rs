//! `synod keys`

use clap::{Args, Subcommand};
use serde::Serialize;
use synod_aggregator::http::KeyRecord;

use super::Context;
use crate::exit::{ExitCode, Failure, with_causes};
use crate::http::key_file;

const EXAMPLES: &str = "\
The file holds only digests. An aggregator that runs sees changes within a second. As soon as there is one key, nobody is \
served without.

Examples:
  synod keys add --tenant me
  synod keys add --tenant team-a --model moa --model moa-3 --rpm 60 --concurrency 4
  synod keys revoke 1f0c9b2e77aa";

/// API keys of the HTTP interface
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum KeysCommand {
    /// Make a key; it is shown once, and kept nowhere
    Add(Add),
    /// Which keys there are
    List(List),
    /// Take a key's rights away
    Revoke(Revoke),
}

/// Make a key; it is shown once, and kept nowhere
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Whose it is; keys of one tenant see each other's runs
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// A model or topology that it may ask; may be given several times, all without
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// Requests a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rpm: Option<u32>,
    /// Tokens a minute, of prompts and answers together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tpm: Option<u32>,
    /// Requests at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Tokens of one answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32768))]
    max_tokens: Option<u32>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Which keys there are
#[derive(Debug, Args)]
pub(crate) struct List {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Take a key's rights away
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The key's id, as `synod keys list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn run(command: KeysCommand, context: &Context) -> Result<(), Failure> {
    let file = key_file(&context.layers().load()?)?;
    let failed = |error: &dyn std::error::Error| Failure::new(ExitCode::Failed, with_causes(error));
    match command {
        KeysCommand::Add(add) => {
            let Add { tenant, model, rpm, tpm, concurrency, max_tokens, json } = add;
            let (key, record) = KeyRecord::generate(&tenant);
            let record = KeyRecord { models: model, rpm, tpm, concurrency, max_tokens, ..record };
            file.add(record.clone()).map_err(|error| failed(&error))?;
            if json {
                return context.output.json(&Added { key: &key, record: &record });
            }
            context.output.note(&format!("key {} of {tenant}, shown this once:", record.id));
            context.output.text(&key)
        }
        KeysCommand::List(List { json }) => {
            let keys = file.read().map_err(|error| failed(&error))?;
            if json {
                return context.output.json(&keys);
            }
            keys.iter().try_for_each(|key| context.output.text(&line(key)))
        }
        KeysCommand::Revoke(Revoke { id }) => {
            file.revoke(&id).map_err(|error| failed(&error))?;
            context.output.note(&format!("key {id} is revoked"));
            Ok(())
        }
    }
}

/// A new key with its record.
#[derive(Serialize)]
struct Added<'a> {
    key: &'a str,
    #[serde(flatten)]
    record: &'a KeyRecord,
}

/// A key in a list, with its limits.
fn line(key: &KeyRecord) -> String {
    let KeyRecord { id, tenant, models, rpm, tpm, concurrency, max_tokens, .. } = key;
    let limit = |what: &str, limit: &Option<u32>| limit.map(|limit| format!("{limit} {what}"));
    let limits = [
        limit("requests/min", rpm),
        limit("tokens/min", tpm),
        limit("at a time", concurrency),
        limit("tokens an answer", max_tokens),
        (!models.is_empty()).then(|| models.join(" ")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    format!("{id}  {tenant}  {}", limits.join(", ")).trim_end().to_owned()
}
