//! Calls of APIs that nodes write, and make.

use std::time::Duration;

use synod_proto::v1;

use crate::members::{Advised, ApiRequest, Exchange, Made, Proposed};

pub(crate) fn call_api(request: &ApiRequest) -> v1::CallApiRequest {
    let message = |(role, content): &(String, String)| v1::Message { role: role.clone(), content: content.clone() };
    let advised = |Advised { api, arguments_json }: &Advised| v1::AdvisedCall {
        api: api.clone(),
        arguments_json: arguments_json.clone(),
    };
    v1::CallApiRequest {
        model: request.model.clone(),
        messages: request.messages.iter().map(message).collect(),
        catalogues: request.catalogues.clone(),
        run_id: request.run_id.clone(),
        record: request.record,
        advice: request.advice.iter().map(advised).collect(),
        execute: request.execute,
        ..Default::default()
    }
}

/// Calls with their documents: whoever reads several that differ can tell which is right. The same call is the same text.
/// Those that were made come with what they brought back instead.
pub(crate) fn proposed(response: v1::CallApiResponse) -> Proposed {
    let v1::CallApiResponse { calls, missing, confidence, usage, exchanges, outcomes, votes, voters, outvoted, .. } =
        response;
    let confidence = confidence.clamp(0.0, 1.0);
    let asked = missing.map(|v1::MissingArguments { api, arguments }| {
        format!("{api} would fit, but these of its arguments are not known: {}. Ask for them.", arguments.join(", "))
    });
    let (made, mut texts): (Vec<Made>, Vec<String>) =
        calls.iter().zip(outcomes).map(|(call, outcome)| made(call, outcome)).unzip();
    if made.is_empty() {
        let call = |v1::ApiCall { rendered, document, .. }: &v1::ApiCall| format!("call: {rendered}\n{document}");
        texts = calls.iter().map(call).collect();
    }
    let text = asked.or_else(|| Some(texts.join("\n\n")).filter(|text| !text.is_empty()));
    let advised = |v1::ApiCall { api, arguments_json, .. }: v1::ApiCall| Advised { api, arguments_json };
    Proposed {
        text,
        advice: calls.into_iter().next().map(advised).unwrap_or_default(),
        made,
        votes: (votes, voters),
        outvoted,
        usage: usage.unwrap_or_default().into(),
        confidence,
        took: Duration::ZERO,
        exchanges: exchanges.into_iter().map(Exchange::from).collect(),
    }
}

/// A call that was to be made, and how whoever answers with it is told.
fn made(call: &v1::ApiCall, outcome: v1::ApiOutcome) -> (Made, String) {
    let v1::ApiOutcome { status, result, error, .. } = outcome;
    let (api, rendered) = (call.api.clone(), &call.rendered);
    if error.is_empty() {
        let text = format!("This call was made: {rendered}\nThe server answered {status}, with this data:\n{result}");
        (Made { api, said: Ok((status, result)) }, text)
    } else {
        let text = format!("This call has no result: {rendered}\n{error}");
        (Made { api, said: Err(error) }, text)
    }
}

impl From<v1::ApiExchange> for Exchange {
    fn from(exchange: v1::ApiExchange) -> Self {
        let v1::ApiExchange { purpose, prompt, schema, text, tokens, usage, ms } = exchange;
        Self {
            purpose,
            given: prompt.map(Into::into),
            schema,
            text,
            tokens: tokens.into_iter().map(|token| (token.id, token.logprob)).collect(),
            usage: usage.unwrap_or_default().into(),
            took: Duration::from_millis(ms.into()),
        }
    }
}
