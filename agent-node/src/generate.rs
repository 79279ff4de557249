//! `Generate`: admit a sequence, write its prompt as the parts come, pass its events on.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use synod_models::{
    engine::{Engine, PromptWriter, Sequence},
    text::ChatMessage,
};
use synod_proto::v1::{
    GenerateAccepted, GenerateRequest, GenerateResponse, GenerateStart, PromptRecord, generate_request,
    generate_response,
};
use tonic::{Status, Streaming};

use crate::{
    host::{Host, wire},
    prompt::{Assembly, Completed, Part, Stretch, whole},
    request::{Order, check_bytes, response, responses},
    service::ServiceLimits,
    speed::Speed,
    status::{NodeError, shorten},
    told::Told,
};

/// A request that has its place in the engine's queue.
pub(crate) struct Admitted {
    sequence: Sequence,
    prompt: Prompt,
    /// Where it tells how long it took.
    speed: Arc<Speed>,
    told: Told,
}

/// Reads the first message and takes a place in its model's queue: whoever is refused is refused before any work. `tell`
/// begins to tell of the call, once its model is known.
pub(crate) async fn admit(
    host: &Host,
    requests: &mut Streaming<GenerateRequest>,
    limits: &ServiceLimits,
    tell: impl FnOnce(&str) -> Told,
) -> Result<Admitted, NodeError> {
    let start = first(requests.message().await?)?;
    let Order { model, run_id, messages, options, quoted_parts, record } = Order::try_new(start, limits)?;
    let engine = host.engine(&model)?.clone();
    let told = tell(&model);
    let record = record.then(|| host.record(&model, &options)).transpose()?;
    let speed = Arc::clone(host.speed(&model)?);
    let max_tokens = options.max_tokens;
    let sequence = match &options.grammar {
        None => engine.open(options)?,
        // A grammar takes time to compile.
        Some(_) => {
            let engine = engine.clone();
            blocking("opening a sequence", move || Ok(engine.open(options)?)).await?
        }
    };
    let run_id = shorten(&run_id);
    tracing::debug!(model, run_id, "sequence opened");
    let prompt = Prompt { engine, messages, max_tokens, quoted_parts, record, assembly: None };
    Ok(Admitted { sequence, prompt, speed, told: told.admitted() })
}

fn first(request: Option<GenerateRequest>) -> Result<GenerateStart, NodeError> {
    match request.map(|request| request.message) {
        Some(Some(generate_request::Message::Start(start))) => Ok(start),
        Some(_) => Err(NodeError::invalid("start", "the first message must be `start`")),
        None => Err(NodeError::invalid("start", "the request ended before its first message")),
    }
}

/// Everything after admission: `Accepted` when the prompt is complete, then the engine's events. Dropping it frees the
/// sequence, at whatever point.
pub(crate) fn respond(
    admitted: Admitted,
    requests: Streaming<GenerateRequest>,
    limits: ServiceLimits,
) -> BoxStream<'static, Result<GenerateResponse, Status>> {
    let Admitted { sequence: Sequence { prompt: writer, events }, prompt, speed, mut told } = admitted;
    let engine = prompt.engine.clone();
    let written = async move {
        let accepted = write(prompt, requests, writer, &limits).await?;
        let events = events.flat_map(move |event| match event {
            Ok(event) => stream::iter(
                responses(event, |id| engine.tokenizer().token_bytes(id).to_vec())
                    .into_iter()
                    .map(Ok)
                    .collect::<Vec<_>>(),
            ),
            Err(error) => stream::iter(vec![Err(NodeError::from(error).into())]),
        });
        let accepted = response(generate_response::Event::Accepted(accepted));
        Ok::<_, Status>(stream::once(future::ready(Ok(accepted))).chain(events))
    };
    let measure = move |item: &Result<GenerateResponse, Status>| {
        if let Ok(GenerateResponse { event: Some(generate_response::Event::Finished(finished)) }) = item {
            speed.add(finished);
        }
        told.item(item);
    };
    stream::once(written).try_flatten().inspect(measure).boxed()
}

/// Writes the prompt as its parts come, until the request's end.
async fn write(
    mut prompt: Prompt,
    mut requests: Streaming<GenerateRequest>,
    mut writer: PromptWriter,
    limits: &ServiceLimits,
) -> Result<GenerateAccepted, NodeError> {
    let mut bytes = prompt.messages.iter().map(|message| message.content.len()).sum();
    let mut blank = prompt.messages.last().is_none_or(|message| message.content.trim().is_empty());
    let mut parts = 0;
    while let Some(request) = requests.message().await? {
        let part = next(request)?;
        (parts, bytes) = (parts + 1, bytes + part.text().len());
        check_bytes(bytes, limits)?;
        if parts > limits.max_parts {
            return Err(NodeError::invalid("part", format!("too many parts: send at most {}", limits.max_parts)));
        }
        blank &= part.text().trim().is_empty();
        let ids;
        (prompt, ids) = blocking("it tokenised a part", move || {
            let ids = prompt.push(part)?;
            Ok((prompt, ids))
        })
        .await?;
        if !ids.is_empty() {
            writer.append(&ids)?;
        }
    }
    if blank {
        return Err(NodeError::invalid("messages", "the last message is empty: ask something"));
    }
    let record = prompt.record.take();
    let Completed { ids, cuts, stretches } = blocking("it tokenised the prompt", move || prompt.complete()).await?;
    writer.append(&ids)?;
    let prompt_tokens = wire(writer.len());
    writer.finish()?;
    tracing::debug!(prompt_tokens, cuts = cuts.len(), "prompt complete");
    let stretches =
        |record| PromptRecord { stretches: stretches.into_iter().map(Stretch::into_wire).collect(), ..record };
    Ok(GenerateAccepted { prompt_tokens, cuts, record: record.map(stretches) })
}

fn next(request: GenerateRequest) -> Result<Part, NodeError> {
    match request.message {
        Some(generate_request::Message::Part(part)) => part.try_into(),
        Some(generate_request::Message::Start(_)) => {
            Err(NodeError::invalid("start", "only the first message is `start`"))
        }
        None => Err(NodeError::invalid("part", "a message after the first is a part")),
    }
}

/// Templates and tokenizers take milliseconds for a long prompt, and other requests must not wait for that.
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NodeError::TaskFailed(doing))?
}

/// A conversation and the model that reads it.
struct Prompt {
    engine: Engine,
    messages: Vec<ChatMessage>,
    max_tokens: usize,
    quoted_parts: usize,
    /// What is told of it, without its text; none where nobody asked.
    record: Option<PromptRecord>,
    /// Begun by the first part.
    assembly: Option<Assembly>,
}

impl Prompt {
    /// Takes a part; what it gives goes to the engine at once.
    fn push(&mut self, part: Part) -> Result<Vec<u32>, NodeError> {
        let mut assembly = match self.assembly.take() {
            Some(assembly) => assembly,
            None => {
                let rendered = self.engine.template().render_open(&self.messages)?;
                Assembly::new(rendered, self.engine.info().context_length, self.max_tokens, self.quoted_parts)
            }
        };
        let ids = assembly.push(part, self.engine.tokenizer())?;
        self.assembly = Some(assembly);
        Ok(ids)
    }

    /// What is left to send, after the last part.
    fn complete(self) -> Result<Completed, NodeError> {
        let tokenizer = self.engine.tokenizer();
        match self.assembly {
            Some(assembly) => Ok(assembly.complete(tokenizer)?),
            None => {
                let pieces = self.engine.template().render_pieces(&self.messages)?;
                Ok(whole(pieces, tokenizer))
            }
        }
    }
}
