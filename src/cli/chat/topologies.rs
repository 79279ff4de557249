//! The topologies of the aggregator that a conversation is with.

use synod_aggregator::{
    Client,
    client::Offered,
    topology::{Overrides, nearest},
};

use crate::cli::reach::failure;
use crate::exit::{ExitCode, Failure};
use crate::output::Output;
use crate::terminal;

/// What it offers.
pub(super) async fn offered(client: &mut Client) -> Result<Vec<Offered>, Failure> {
    client.topologies().await.map_err(failure)
}

/// Prints them, the one in use marked.
pub(super) fn list(offered: &[Offered], current: Option<&str>, output: &Output) -> Result<(), Failure> {
    for Offered { name, description, is_default, .. } in offered {
        let mark = if current.map_or(*is_default, |current| current == name) { "*" } else { " " };
        let line = format!("{mark} {name:<16} {description}");
        let line = if output.is_terminal() { terminal::head(&line, terminal::columns()) } else { line };
        output.text(&line)?;
    }
    Ok(())
}

/// Whether questions can go through the topology of that name.
///
/// # Errors
/// There is none, or a model of it is hosted nowhere.
pub(super) async fn check(client: &mut Client, name: &str, overrides: &Overrides) -> Result<(), Failure> {
    let offered = offered(client).await?;
    let usage = |message: String| Failure::new(ExitCode::Usage, message);
    let Some(topology) = offered.iter().find(|topology| topology.name == name) else {
        let near = nearest(name, offered.iter().map(|topology| topology.name.as_str()));
        let hint = near.map_or_else(|| "/topology lists them".to_owned(), |near| format!("did you mean {near}?"));
        return Err(usage(format!("there is no topology {name}")).hint(hint));
    };
    // Other members may have been chosen in the place of its own.
    if !overrides.is_empty() {
        return Ok(());
    }
    let hosted = client.models().await.map_err(failure)?;
    let models = topology.stages.iter().flat_map(|stage| &stage.models);
    // A member may be a topology.
    let missing = |model: &&String| !hosted.contains(*model) && offered.iter().all(|one| one.name != **model);
    match models.into_iter().find(missing) {
        Some(model) => Err(usage(format!("topology {name} needs {model}, which no node hosts"))
            .hint(format!("`synod up --topology {name}`, or leave and `synod chat --topology {name}`"))),
        None => Ok(()),
    }
}
