#!/usr/bin/env python3
"""What the official OpenAI client does with Synod, end to end.

usage: openai_client.py BASE_URL MODEL [EMBEDDING_MODEL]
Needs openai (pip install openai). BASE_URL as `synod up` prints it; a key goes into OPENAI_API_KEY, where there are any.
"""
import json
import os
import sys

import openai

CITY = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 40}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def ask(question):
    return [{"role": "user", "content": question}]


def models(client, model):
    known = {one.id: one for one in client.models.list()}
    assert model in known, f"{model} is not among {sorted(known)}"
    print(f"models: {len(known)}, {model} reads {known[model].context_length} tokens")
    assert client.models.retrieve(model).id == model


def chat(client, model):
    answer = client.chat.completions.create(
        model=model, messages=ask("Name a colour."), max_completion_tokens=12, seed=1, logprobs=True, top_logprobs=2
    )
    choice = answer.choices[0]
    assert choice.message.content and choice.finish_reason in ("stop", "length"), answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    written = b"".join(bytes(token.bytes) for token in choice.logprobs.content).decode()
    assert written.strip() == choice.message.content.strip(), (written, choice.message.content)
    assert len(choice.logprobs.content[0].top_logprobs) == 2
    print(f"chat: {choice.message.content!r}")
    several = client.chat.completions.create(model=model, messages=ask("Name a colour."), max_tokens=4, n=2, stop=["\n"])
    assert [one.index for one in several.choices] == [0, 1]


def stream(client, model):
    chunks = client.chat.completions.create(
        model=model, messages=ask("Count to five."), max_tokens=24, stream=True, stream_options={"include_usage": True}
    )
    text, reason, usage = "", None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    assert text and reason in ("stop", "length") and usage.completion_tokens > 0
    print(f"stream: {text!r}")


def tools(client, model):
    messages = ask("What is the weather in Paris?")
    answer = client.chat.completions.create(
        model=model, messages=messages, tools=[CITY], tool_choice="required", max_tokens=200, temperature=0
    )
    assert answer.choices[0].finish_reason == "tool_calls", answer
    call = answer.choices[0].message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "get_weather" and isinstance(arguments["city"], str), call
    print(f"tools: {call.function.name}({arguments})")
    messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "18 degrees, sunny"}]
    after = client.chat.completions.create(model=model, messages=messages, tools=[CITY], tool_choice="none", max_tokens=40)
    print(f"after the call: {after.choices[0].message.content!r}")
    chunks = client.chat.completions.create(
        model=model, messages=messages[:1], tools=[CITY], tool_choice="required", parallel_tool_calls=False, stream=True
    )
    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert deltas[0].function.name == "get_weather" and json.loads("".join(one.function.arguments for one in deltas))


def json_schema(client, model):
    schema = {"name": "person", "schema": PERSON, "strict": True}
    answer = client.chat.completions.create(
        model=model,
        messages=ask("Invent a person."),
        response_format={"type": "json_schema", "json_schema": schema},
        max_tokens=100,
    )
    person = json.loads(answer.choices[0].message.content)
    assert set(person) == {"name", "age"} and isinstance(person["age"], int), person
    print(f"json_schema: {person}")


def responses(client, model):
    answer = client.responses.create(model=model, input="Name a fruit.", instructions="Be brief.", max_output_tokens=12)
    assert answer.output_text and answer.usage.output_tokens > 0, answer
    print(f"responses: {answer.output_text!r}")
    with client.responses.stream(model=model, input="Name a fruit.", max_output_tokens=12) as events:
        kinds = [event.type for event in events]
    assert kinds[0] == "response.created" and kinds[-1] in ("response.completed", "response.incomplete"), kinds


def embeddings(client, model):
    answer = client.embeddings.create(model=model, input=["a cat", "a kitten", "a tax form"])  # base64 on the wire
    cat, kitten, form = (one.embedding for one in answer.data)
    like = lambda a, b: sum(x * y for x, y in zip(a, b))
    assert like(cat, kitten) > like(cat, form), "a kitten is more of a cat than a tax form is"
    floats = client.embeddings.create(model=model, input="a cat", encoding_format="float").data[0].embedding
    assert max(abs(x - y) for x, y in zip(cat, floats)) < 1e-5
    print(f"embeddings: {len(cat)} dimensions, {answer.usage.prompt_tokens} tokens")


def errors(client, model):
    try:
        client.chat.completions.create(model="no-such-model", messages=ask("?"))
        raise AssertionError("a model that isn't there answered")
    except openai.NotFoundError as error:
        assert (error.code, error.param) == ("model_not_found", "model") and error.request_id, error
    for field, value in {"temperature": 3, "presence_penalty": 1, "n": 1000}.items():
        try:
            client.chat.completions.create(model=model, messages=ask("?"), **{field: value})
            raise AssertionError(f"{field} = {value} was taken")
        except openai.BadRequestError as error:
            assert error.param == field, error
    print("errors: named, with their fields")


def cancel(client, model):
    chunks = client.chat.completions.create(model=model, messages=ask("Tell a long story."), max_tokens=2000, stream=True)
    for chunk in chunks:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    chunks.close()  # the engine stops there
    print("cancel: left in the middle")


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    base_url, model = sys.argv[1:3]
    client = openai.OpenAI(base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    for step in (models, chat, stream, tools, json_schema, responses, errors, cancel):
        step(client, model)
    if len(sys.argv) == 4:
        embeddings(client, sys.argv[3])


if __name__ == "__main__":
    main()
