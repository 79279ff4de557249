#!/usr/bin/env python3
"""Asks a model for JSON and YAML without constraint and writes what it answers, for the example `corpus` to count.

usage: outputs.py URL MODEL COUNT [AT_ONCE [FIRST_SEED]] > outputs.jsonl
URL is an OpenAI-style server's, for instance http://127.0.0.1:7680 of `synod up --model MODEL`. A line of the output:
{"format": "json" | "yaml", "model", "seed", "prompt", "text"}.
"""
import concurrent.futures
import json
import random
import sys
import urllib.request

SHAPES = [
    "a list of three {what}, each with a name, a price and a short description",
    "one {what} as an object with five fields, one of which is a list",
    "a configuration for a program about {what}: host, port, a timeout, two feature flags and a list of paths",
    "a function call that books {what}: its name and its arguments (with a date, a number and a nested object)",
    "a review of {what}: a rating from 1 to 5, pros, cons, and a quote from a customer",
    "a table of two {what} with their id, whether they are available, and when they were last seen",
    "the steps to repair {what}, each with a title, minutes needed and tools",
    "an error report about {what}: a code, a message with a quotation in it, and a stack of two frames",
    "your verdict on {what}: reason first, then score, then whether you are sure",
    "a small catalogue of {what}, keyed by name, with tags and dimensions",
]
SUBJECTS = (
    "bicycles, teapots, hotel rooms, train tickets, laptops, museums, recipes, video games, bank accounts, sensors, "
    "house plants, violins, books, satellites, running shoes, coffee machines, tax forms, parking lots, web servers, "
    "weather stations, dog breeds, lighthouses, cheeses, elevators, passwords, podcasts, tents, glaciers, hospitals, maps"
).split(", ")
ASKS = {
    "json": [
        "Give me {shape}, as JSON.",
        "Write {shape}. Answer in JSON only, nothing else.",
        "Return {shape} as a JSON document. Add a comment to explain it.",
        "Please output {shape} in JSON format.",
    ],
    "yaml": [
        "Give me {shape}, as YAML.",
        "Write {shape}. Answer in YAML only, nothing else.",
        "Return {shape} as a YAML document with comments.",
        "Please output {shape} in YAML format.",
    ],
}


def ask(url, model, seed):
    draw = random.Random(seed)
    form = draw.choice(["json", "yaml"])
    shape = draw.choice(SHAPES).format(what=draw.choice(SUBJECTS))
    prompt = draw.choice(ASKS[form]).format(shape=shape)
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": draw.choice([0.0, 0.6, 0.9]),
        "max_tokens": draw.choice([60, 120, 200, 200]),
        "seed": seed,
    }
    request = urllib.request.Request(
        url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as response:
        text = json.load(response)["choices"][0]["message"]["content"]
    return {"format": form, "model": model, "seed": seed, "prompt": prompt, "text": text}


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    url, model, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    at_once, first = (int(value) for value in (sys.argv[4:] + ["8", "1"][len(sys.argv) - 4 :]))
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for output in pool.map(lambda seed: ask(url, model, seed), range(first, first + count)):
            print(json.dumps(output, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
