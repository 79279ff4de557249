use std::time::Duration;

use super::*;

/// Tokens of one byte, which is their number.
fn spell(id: u32) -> Vec<u8> {
    vec![id as u8]
}

fn user(content: &str) -> v1::Message {
    v1::Message { role: "user".to_owned(), content: content.to_owned() }
}

fn start() -> GenerateStart {
    GenerateStart { model: "m".to_owned(), messages: vec![user("hi")], ..GenerateStart::default() }
}

fn sampled(sampling: v1::Sampling) -> GenerateStart {
    GenerateStart { sampling: Some(sampling), ..start() }
}

fn order(start: GenerateStart) -> Result<Order, NodeError> {
    Order::try_new(start, &ServiceLimits { max_prompt_bytes: 1000, ..ServiceLimits::recommended() })
}

#[track_caller]
fn check_invalid(start: GenerateStart, field: &str, part: &str) {
    let error = order(start).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{field}: ")) && error.contains(part), "{error}");
}

#[test]
fn unset_sampling_takes_the_defaults_and_a_seed_of_its_own() {
    let (first, second) = (order(start()).unwrap().options, order(start()).unwrap().options);
    let Sampling { temperature, top_k, top_p, min_p, repetition_penalty, seed } = first.sampling;
    assert_eq!((temperature, top_k, top_p, min_p, repetition_penalty), (0.7, 40, 0.95, 0.0, 1.0));
    assert_ne!(seed, second.sampling.seed);
    assert_eq!((first.max_tokens, first.top_logprobs, first.ignore_end), (512, 0, false));
}

#[test]
fn what_is_set_is_taken_zeros_included() {
    let sampling = v1::Sampling {
        max_tokens: Some(7),
        temperature: Some(0.0),
        top_k: Some(0),
        top_p: Some(1.0),
        min_p: Some(0.1),
        repetition_penalty: Some(1.1),
        seed: Some(0),
        stop: vec!["\n".to_owned()],
    };
    let options = order(sampled(sampling)).unwrap().options;
    let expected = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.1, repetition_penalty: 1.1, seed: 0 };
    assert_eq!((options.sampling, options.max_tokens, options.stop), (expected, 7, vec!["\n".to_owned()]));
}

#[test]
fn what_is_out_of_range_is_refused_by_field() {
    let sampling = v1::Sampling::default;
    check_invalid(sampled(v1::Sampling { max_tokens: Some(0), ..sampling() }), "sampling.max_tokens", "1 at least");
    check_invalid(sampled(v1::Sampling { temperature: Some(-1.0), ..sampling() }), "sampling", "temperature is -1");
    check_invalid(
        sampled(v1::Sampling { temperature: Some(f32::NAN), ..sampling() }),
        "sampling",
        "temperature is NaN",
    );
    check_invalid(sampled(v1::Sampling { top_p: Some(0.0), ..sampling() }), "sampling", "top_p is 0");
    let stops = |stop: Vec<String>| sampled(v1::Sampling { stop, ..sampling() });
    check_invalid(stops(vec!["x".to_owned(); 9]), "sampling.stop", "9 are too many");
    check_invalid(stops(vec![String::new()]), "sampling.stop", "1 to 256 bytes");
    check_invalid(stops(vec!["x".repeat(257)]), "sampling.stop", "1 to 256 bytes");
    check_invalid(GenerateStart { top_logprobs: 21, ..start() }, "top_logprobs", "21 are too many");
}

#[test]
fn messages_are_checked() {
    check_invalid(GenerateStart { messages: vec![], ..start() }, "messages", "one message at least");
    check_invalid(GenerateStart { messages: vec![user("x"); 1025], ..start() }, "messages", "1025 are too many");
    check_invalid(GenerateStart { messages: vec![user(&"x".repeat(1001))], ..start() }, "messages", "1001 bytes");
    let robot = v1::Message { role: "robot".to_owned(), ..user("x") };
    check_invalid(GenerateStart { messages: vec![robot], ..start() }, "messages.role", "`robot` is not known");
}

#[test]
fn a_quoted_part_without_a_limit_is_to_be_fitted() {
    let quoted = |max_tokens| {
        let quoted = v1::QuotedText { text: "t".to_owned(), max_tokens, more: false };
        Part::try_from(v1::PromptPart { content: Some(prompt_part::Content::Quoted(quoted)) }).unwrap()
    };
    assert_eq!(quoted(0), Part::Quoted { text: "t".to_owned(), allotment: None, more: false });
    assert_eq!(quoted(3), Part::Quoted { text: "t".to_owned(), allotment: Some(3), more: false });
    assert!(Part::try_from(v1::PromptPart { content: None }).is_err());
}

#[test]
fn text_held_back_to_the_end_is_not_lost() {
    let finished = Finished {
        reason: FinishReason::Stop,
        text: "tail".to_owned(),
        prompt_tokens: 3,
        cached_prompt_tokens: 1,
        lookup_tokens: 0,
        lookup_accepted: 0,
        forced_tokens: 0,
        completion_tokens: 2,
        mean_logprob: -0.5,
        queued: Duration::from_millis(1),
        prefill: Duration::from_millis(2),
        decode: Duration::from_secs(1 << 40),
    };
    let expected = GenerateFinished {
        finish_reason: v1::FinishReason::Stop.into(),
        usage: Some(Usage { prompt_tokens: 3, completion_tokens: 2, cached_prompt_tokens: 1 }),
        timings: Some(GenerateTimings { queue_ms: 1, prefill_ms: 2, decode_ms: u32::MAX }),
        mean_logprob: -0.5,
    };
    let tail = TokenDelta { text: "tail".to_owned(), tokens: vec![] };
    let expected = [generate_response::Event::Delta(tail), generate_response::Event::Finished(expected)].map(response);
    assert_eq!(responses(Event::Finished(finished.clone()), spell), expected);
    assert_eq!(responses(Event::Finished(Finished { text: String::new(), ..finished }), spell), expected[1..]);
}

#[test]
fn a_token_without_text_is_still_reported() {
    let token = TokenEvent { id: 5, text: String::new(), logprob: -1.0, top: vec![(5, -1.0), (6, -2.0)] };
    let top = vec![(5, -1.0), (6, -2.0)].into_iter();
    let top = top.map(|(id, logprob)| Alternative { id, logprob, bytes: vec![id as u8] }).collect();
    let delta =
        TokenDelta { text: String::new(), tokens: vec![TokenLogprob { id: 5, logprob: -1.0, top, bytes: vec![5] }] };
    assert_eq!(responses(Event::Token(token), spell), [response(generate_response::Event::Delta(delta))]);
}
