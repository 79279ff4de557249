//! Calls of APIs that nodes propose.

use std::time::Duration;

use synod_proto::v1;

use crate::members::{ApiRequest, Exchange, Proposed};

pub(crate) fn call_api(request: &ApiRequest) -> v1::CallApiRequest {
    let message = |(role, content): &(String, String)| v1::Message { role: role.clone(), content: content.clone() };
    v1::CallApiRequest {
        model: request.model.clone(),
        messages: request.messages.iter().map(message).collect(),
        catalogues: request.catalogues.clone(),
        run_id: request.run_id.clone(),
        record: request.record,
        ..Default::default()
    }
}

/// Calls with their documents: whoever reads several that differ can tell which is right. The same call is the same text.
pub(crate) fn proposed(response: v1::CallApiResponse) -> Proposed {
    let v1::CallApiResponse { calls, missing, confidence, usage, exchanges, .. } = response;
    let asked = missing.map(|v1::MissingArguments { api, arguments }| {
        format!("{api} would fit, but these of its arguments are not known: {}. Ask for them.", arguments.join(", "))
    });
    let call = |v1::ApiCall { rendered, document, .. }: v1::ApiCall| format!("call: {rendered}\n{document}");
    let calls = calls.into_iter().map(call).collect::<Vec<_>>().join("\n\n");
    Proposed {
        text: asked.or_else(|| Some(calls).filter(|calls| !calls.is_empty())),
        usage: usage.unwrap_or_default().into(),
        confidence: confidence.clamp(0.0, 1.0),
        took: Duration::ZERO,
        exchanges: exchanges.into_iter().map(Exchange::from).collect(),
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
