#!/usr/bin/env python3
"""Holds what was read against the texts it was read from: nothing may be in a document that is not in its text.

usage: cargo run --release -p synod-lenient --example corpus outputs.jsonl repaired > read.txt; conserved.py read.txt [SHOWN]
Of each document all keys and scalars must stand in the text, in order, letters and digits compared. Prints how many
are not so (numbers beyond a double's digits, as a rule), and how often the text has something in between that the document
has not (numbers of lists, comments), with the SHOWN largest of these to look at.
"""
import json
import re
import sys


def normal(text):
    return re.sub(r"[^0-9a-z]", "", text.lower())


def leaves(value):
    """Keys and scalars in order, each as the ways in which it may be written."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield [normal(key)]
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str):
        yield [normal(value)]
    elif value not in (None, True, False) or isinstance(value, (int, float)) and not isinstance(value, bool):
        whole = [str(int(value))] if float(value).is_integer() else []
        yield [normal(way) for way in [json.dumps(value), *whole]]


def follow(text, wanted, start):
    """What stands between the leaves from `start` on; none where one is not there."""
    at, between = start, []
    for ways in wanted:
        found = [(place, len(way)) for way in ways if (place := text.find(way, at)) >= 0]
        if not found:
            return None
        place, length = min(found)
        between.append(text[at:place])
        at = place + length
    return [gap for gap in between[1:] if gap not in ("", "null", "none", "true", "false")]


def least_left_out(text, wanted):
    """The same from wherever the least is left out: the first leaf may be in the prose before, too."""
    best, at = None, 0
    while starts := [place for way in wanted[0] if (place := text.find(way, at)) >= 0]:
        gaps = follow(text, wanted, min(starts))
        if gaps is None:
            break
        if best is None or sum(map(len, gaps)) < sum(map(len, best)):
            best = gaps
        at = min(starts) + 1
    return best


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        entries = re.split(r"^=== (?:json|yaml)\n", file.read(), flags=re.M)[1:]
    shown = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    missing, left_out = [], []
    for entry in entries:
        text, _, told = entry.rpartition("\n--- ")
        notes, _, value = told.partition("\n")
        wanted = [ways for ways in leaves(json.loads(value)) if ways[0]]
        gaps = least_left_out(normal(text), wanted) if wanted else []
        if gaps is None:
            missing.append((notes, text, value))
        elif gaps:
            left_out.append((sum(map(len, gaps)), notes, gaps))
    print(f"{len(entries)} documents, {len(missing)} with what is not in their text, {len(left_out)} with text left out")
    for notes, text, value in missing[:shown]:
        print(f"--- not in its text: {notes}\n{text}\n{value}")
    for size, notes, gaps in sorted(left_out, reverse=True)[:shown]:
        print(f"--- {size} characters left out: {notes}\n{gaps[:3]}")


if __name__ == "__main__":
    main()
