//! Questions, from and to the wire.

use synod_proto::v1;

use super::small;
use crate::{
    error::Error,
    members::Grammar,
    runs::{AnswerForm, Question},
    topology::{MaxTokens, OutOfRange, Overrides, RepetitionPenalty, Sampling, Share, Temperature, TopK},
};

/// The most stop strings of a request, and the most bytes of one.
const MAX_STOPS: usize = 4;
const MAX_STOP_BYTES: usize = 256;

impl TryFrom<v1::AskRequest> for Question {
    type Error = Error;

    fn try_from(request: v1::AskRequest) -> Result<Self, Error> {
        Ok(Self {
            messages: request.messages.into_iter().map(|message| (message.role, message.content)).collect(),
            topology: request.topology,
            overrides: request.overrides.map(Into::into).unwrap_or_default(),
            sampling: request.sampling.unwrap_or_default().try_into()?,
            run_id: request.run_id,
            ignore_end: request.ignore_end,
            keep_seeds: request.keep_seeds,
            refuse_acts: request.refuse_acts,
            form: AnswerForm { grammar: request.grammar.map(Grammar::try_from).transpose()?, ..AnswerForm::default() },
            ..Self::default()
        })
    }
}

impl From<Question> for v1::AskRequest {
    fn from(question: Question) -> Self {
        let message = |(role, content)| v1::Message { role, content };
        Self {
            messages: question.messages.into_iter().map(message).collect(),
            topology: question.topology,
            overrides: Some(question.overrides).filter(|overrides| !overrides.is_empty()).map(Into::into),
            sampling: Some((&question.sampling).into()),
            run_id: question.run_id,
            ignore_end: question.ignore_end,
            keep_seeds: question.keep_seeds,
            refuse_acts: question.refuse_acts,
            grammar: question.form.grammar.as_ref().map(Into::into),
        }
    }
}

impl From<v1::Overrides> for Overrides {
    fn from(overrides: v1::Overrides) -> Self {
        let v1::Overrides { proposers, synthesizer, quorum } = overrides;
        Self { proposers, synthesizer, quorum: quorum.map(|quorum| quorum as usize) }
    }
}

impl From<Overrides> for v1::Overrides {
    fn from(overrides: Overrides) -> Self {
        let Overrides { proposers, synthesizer, quorum } = overrides;
        Self { proposers, synthesizer, quorum: quorum.map(small) }
    }
}

impl TryFrom<v1::Sampling> for Sampling {
    type Error = Error;

    fn try_from(sampling: v1::Sampling) -> Result<Self, Error> {
        let long = sampling.stop.iter().any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES);
        if sampling.stop.len() > MAX_STOPS || long {
            let rule = format!("at most {MAX_STOPS} texts of 1 to {MAX_STOP_BYTES} bytes");
            return Err(Error::invalid(format!("sampling.stop takes {rule}")));
        }
        Ok(Self {
            max_tokens: ranged("max_tokens", sampling.max_tokens, MaxTokens::try_new)?,
            temperature: ranged("temperature", sampling.temperature, Temperature::try_new)?,
            top_k: ranged("top_k", sampling.top_k, TopK::try_new)?,
            top_p: ranged("top_p", sampling.top_p, Share::try_new)?,
            min_p: ranged("min_p", sampling.min_p, Share::try_new)?,
            repetition_penalty: ranged("repetition_penalty", sampling.repetition_penalty, RepetitionPenalty::try_new)?,
            seed: sampling.seed,
            stop: sampling.stop,
        })
    }
}

fn ranged<V, T>(
    name: &str,
    value: Option<V>,
    judge: impl FnOnce(V) -> Result<T, OutOfRange>,
) -> Result<Option<T>, Error> {
    value.map(judge).transpose().map_err(|wrong| Error::invalid(format!("sampling.{name}: {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_keeps_its_grammar_on_the_wire() {
        let lark = Grammar::Lark("start: /a+/".to_owned());
        let schema = Grammar::JsonSchema("{}".to_owned());
        for grammar in [Grammar::Regex("a+".to_owned()), schema, Grammar::JsonObject, lark] {
            let form = AnswerForm { grammar: Some(grammar), top_logprobs: None };
            let question = Question { form, keep_seeds: true, refuse_acts: true, ..Question::new("Why?") };
            assert_eq!(Question::try_from(v1::AskRequest::from(question.clone())).unwrap(), question);
        }
        let empty = v1::AskRequest { grammar: Some(v1::Grammar::default()), ..v1::AskRequest::default() };
        assert!(Question::try_from(empty).unwrap_err().message.contains("leave it out for free text"));
    }
}
