//! `synod topology …`

use std::fs;
use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use synod_aggregator::topology::{Known, Topologies, Topology, check_with, describe, graph};

use super::Context;
use crate::exit::{ExitCode, Failure};
use crate::topologies::{self, OTHER_KEYS};

/// Topologies: which there are, what they do, whether a file is right
#[derive(Debug, Subcommand)]
pub(crate) enum TopologyCommand {
    /// List the topologies, built-in and configured
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show a topology's stages and members
    Show {
        /// A name from `synod topology list`; the default one without
        name: Option<String>,
    },
    /// Report every mistake in a file of topologies, with its key and line
    Check {
        /// A synod.toml, or a file with only [topologies]
        file: PathBuf,
    },
    /// Draw a topology as a Mermaid graph
    Graph {
        /// A name from `synod topology list`; the default one without
        name: Option<String>,
    },
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    description: &'a str,
    default: bool,
    stages: Vec<&'static str>,
    models: Vec<&'a str>,
}

pub(super) fn run(command: &TopologyCommand, context: &Context) -> Result<(), Failure> {
    if let TopologyCommand::Check { file } = command {
        return check(file, context);
    }
    let topologies = topologies::read(&context.layers().load()?)?;
    match command {
        TopologyCommand::List { json } => list(&topologies, *json, context),
        TopologyCommand::Show { name } => context.output.text(&describe(named(&topologies, name.as_deref())?)),
        TopologyCommand::Graph { name } => context.output.text(&graph(named(&topologies, name.as_deref())?)),
        TopologyCommand::Check { .. } => Ok(()),
    }
}

/// The topology of that name, or the default.
pub(crate) fn named<'a>(topologies: &'a Topologies, name: Option<&str>) -> Result<&'a Topology, Failure> {
    let found = topologies.get(name.unwrap_or_default());
    found.map(AsRef::as_ref).map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))
}

fn list(topologies: &Topologies, json: bool, context: &Context) -> Result<(), Failure> {
    let listed: Vec<_> = topologies
        .iter()
        .map(|topology| Listed {
            name: topology.name(),
            description: topology.description(),
            default: topology.name() == topologies.default_name(),
            stages: topology.stages().iter().map(|stage| stage.kind()).collect(),
            models: topology.models().into_iter().collect(),
        })
        .collect();
    if json {
        return context.output.json(&listed);
    }
    for Listed { name, description, default, stages, .. } in &listed {
        let mark = if *default { "*" } else { " " };
        context.output.text(&format!("{mark} {name:<12} {:<34} {description}", stages.join(" → ")))?;
    }
    Ok(())
}

fn check(file: &PathBuf, context: &Context) -> Result<(), Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("cannot read {}: {error}", file.display())))?;
    let store = synod_models::store::Store::open()?;
    let own: Vec<String> = toml::from_str::<toml::Table>(&text)
        .ok()
        .and_then(|table| table.get("models")?.as_table().map(|models| models.keys().cloned().collect()))
        .unwrap_or_default();
    let models: Vec<&str> =
        store.manifests().map(|manifest| manifest.name.as_str()).chain(own.iter().map(String::as_str)).collect();
    let mistakes = check_with(&text, &Known { models: Some(&models), others: Some(&OTHER_KEYS) });
    if mistakes.is_empty() {
        return context.output.text(&format!("{}: no mistakes", file.display()));
    }
    let lines: Vec<_> = mistakes
        .iter()
        .map(|mistake| {
            format!("{}:{}:{}: {}: {}", file.display(), mistake.line, mistake.column, mistake.key, mistake.message)
        })
        .collect();
    let count = if mistakes.len() == 1 { "1 mistake".to_owned() } else { format!("{} mistakes", mistakes.len()) };
    Err(Failure::new(ExitCode::Configuration, format!("{count}\n{}", lines.join("\n"))))
}
