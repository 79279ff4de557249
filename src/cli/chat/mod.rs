//! `synod chat`

mod commands;
mod conversation;
mod editor;
mod input;
mod save;
mod session;
mod topologies;

use std::io::{self, IsTerminal};

use clap::Args;
use synod_aggregator::Client;

use super::{
    Context,
    question::{
        QuestionFlags, interrupted,
        view::{Drafts, View},
    },
    reach::{connect, failure},
};
use crate::cluster::Cluster;
use crate::exit::Failure;
use crate::terminal::Kept;
use input::Input;
use session::{Next, Session, Stop};

const EXAMPLES: &str = "\
With a running aggregator (--endpoint, SYNOD_ENDPOINT, or one on 127.0.0.1:7600) questions go there; otherwise a \
cluster is started for the conversation, and missing models are fetched.

At a terminal, drafts are shown while they are written. Ctrl-C cancels an answer; at an empty prompt it leaves, as \
Ctrl-D does. A line that ends with \\ goes on in the next. /help lists the commands. What is typed is kept for the \
next time in chat-history in $SYNOD_HOME, or else in synod in the XDG state folder.

In a pipe, each line is a question or a command, and nothing but answers goes to stdout. The first failure ends the \
conversation with its exit code: later questions build on earlier ones.

Examples:
  synod chat
  synod chat --topology moa-3 --system 'Answer in one sentence.'
  printf '%s\\n' 'Name a bird.' 'Where does it live?' | synod chat --seed 7
  printf '%s\\n' 'Name a bird.' '/save bird.md' | synod chat --quiet";

/// Talk with several models: each question goes along with what was said before
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Chat {
    #[command(flatten)]
    how: QuestionFlags,
    /// Don't show drafts while they are written
    #[arg(long)]
    no_drafts: bool,
    /// Neither read nor keep a history of what is typed
    #[arg(long)]
    no_history: bool,
}

pub(super) async fn run(chat: Chat, context: Context) -> Result<(), Failure> {
    // What is wrong with the flags is said before anything is started.
    chat.how.question([])?;
    let _kept = Kept::here();
    let (client, cluster) = start(&chat.how, &context).await?;
    let talked = Box::pin(talk(chat, client, &context)).await;
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    talked
}

async fn start(how: &QuestionFlags, context: &Context) -> Result<(Client, Option<Cluster>), Failure> {
    let view = View::new(context.output, Drafts::Counted, false);
    let whom = how.whom();
    let connected = tokio::select! {
        connected = Box::pin(connect(&whom, |text| view.status(text), context)) => connected,
        () = context.interrupt.wait() => Err(interrupted()),
    };
    view.clear();
    connected
}

/// The conversation, from its first line to its last.
async fn talk(chat: Chat, client: Client, context: &Context) -> Result<(), Failure> {
    if io::stdin().is_terminal() && context.output.is_terminal() {
        return at_a_terminal(chat, client, context).await;
    }
    let mut session = Session::new(client, chat.how, Drafts::Counted, Stop::of(context), context.output);
    let mut input = Input::piped();
    while let Some(line) = next(&mut input, context).await? {
        if let Next::Leave = session.take(&line).await? {
            break;
        }
    }
    Ok(())
}

async fn at_a_terminal(chat: Chat, mut client: Client, context: &Context) -> Result<(), Failure> {
    let offered = client.topologies().await.map_err(failure)?;
    let mut input = Input::typed(&offered, !chat.no_history, &context.output)?;
    let current = offered.iter().find(|one| match &chat.how.topology {
        Some(name) => one.name == *name,
        None => one.is_default,
    });
    let topology = current.map_or_else(String::new, |one| format!("topology {} · ", one.name));
    context.output.note(&context.output.dim(&format!("{topology}/help lists commands")));
    let drafts = if chat.no_drafts { Drafts::Counted } else { Drafts::Panel };
    let stop = Stop::by_ctrl_c(context);
    let mut session = Session::new(client, chat.how, drafts, stop, context.output);
    while let Some(line) = next(&mut input, context).await? {
        let hushed = Kept::hushed();
        let taken = session.take(&line).await;
        drop(hushed);
        match taken {
            Ok(Next::Leave) => break,
            Ok(Next::Go) => {}
            Err(failure) if context.interrupt.has_come() => return Err(failure),
            Err(failure) => context.output.failure(&failure),
        }
    }
    Ok(())
}

async fn next(input: &mut Input, context: &Context) -> Result<Option<String>, Failure> {
    tokio::select! {
        line = input.next() => line,
        () = context.interrupt.wait() => Err(interrupted()),
    }
}
