#!/usr/bin/env python3
"""A small service to try calls of APIs on: it keeps notes in memory and describes itself at /openapi.json.

usage: notes.py [PORT]        (8765 unless said otherwise; 0 for any free one)
Reads change nothing, creating a note can be undone by deleting it, publishing cannot be taken back.
With NOTES_TOKEN set, every call but the description needs it: Authorization: Bearer TOKEN. Python's standard library only.
"""
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, unquote, urlsplit

NOTES, LOCK, TOKEN = {}, Lock(), os.environ.get("NOTES_TOKEN")
ID = {"name": "id", "in": "path", "required": True, "description": "The note's number", "schema": {"type": "integer"}}
NOTE = {
    "type": "object",
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "maxLength": 1000, "description": "What to remember"},
        "tag": {"type": "string", "enum": ["home", "work", "idea"], "description": "What it belongs to"},
    },
}


def operation(name, summary, parameters=(), body=None, effect=None):
    """An operation of the description."""
    said = {"operationId": name, "summary": summary, "tags": ["notes"], "parameters": list(parameters)}
    said["responses"] = {"200": {"description": "Done"}}
    if body:
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if effect:
        said["x-synod-effect"] = effect
    if TOKEN:
        said["security"] = [{"notes": []}]
    return said


def description(port):
    """The service as OpenAPI describes it. Whoever deletes loses a note for good; whoever creates one knows how to take it back."""
    word = {"name": "word", "in": "query", "description": "Only notes with this word", "schema": {"type": "string"}}
    undo = {"inverse": "delete_note", "arguments": {"id": "/result/id"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Notes", "version": "1"},
        "servers": [{"url": f"http://127.0.0.1:{port}"}],
        "components": {"securitySchemes": {"notes": {"type": "http", "scheme": "bearer"}}},
        "paths": {
            "/notes": {
                "get": operation("list_notes", "List the notes, or those that hold a word", [word]),
                "post": operation("create_note", "Write down a new note", body=NOTE, effect=undo),
            },
            "/notes/{id}": {
                "get": operation("read_note", "Read one note", [ID]),
                "delete": operation("delete_note", "Delete a note", [ID]),
            },
            "/notes/{id}/publish": {"post": operation("publish_note", "Send a note to all readers", [ID])},
        },
    }


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/openapi.json":
            return self.answer(200, description(self.server.server_port))
        self.route("GET", path, parse_qs(query))

    def do_POST(self):
        self.route("POST", urlsplit(self.path).path)

    def do_DELETE(self):
        self.route("DELETE", urlsplit(self.path).path)

    def route(self, method, path, query=None):
        if TOKEN and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "a token is needed"})
        parts = [unquote(part) for part in path.split("/")[1:]]
        with LOCK:
            match (method, parts):
                case ("GET", ["notes"]):
                    word = (query.get("word") or [""])[0].lower()
                    self.answer(200, [note for note in NOTES.values() if word in note["text"].lower()])
                case ("POST", ["notes"]):
                    self.create()
                case (_, ["notes", number, *rest]) if number.isdigit() and int(number) in NOTES:
                    self.note(method, int(number), rest)
                case _:
                    self.answer(404, {"error": "there is no such note"})

    def create(self):
        length = min(int(self.headers.get("Content-Length") or 0), 65536)
        try:
            sent = json.loads(self.rfile.read(length))
            note = {"id": max(NOTES, default=0) + 1, "text": str(sent["text"]), "tag": sent.get("tag"), "published": False}
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"error": "a note needs a text"})
        NOTES[note["id"]] = note
        self.answer(201, note)

    def note(self, method, number, rest):
        match (method, rest):
            case ("GET", []):
                self.answer(200, NOTES[number])
            case ("DELETE", []):
                self.answer(200, NOTES.pop(number))
            case ("POST", ["publish"]):
                NOTES[number]["published"] = True
                self.answer(200, NOTES[number])
            case _:
                self.answer(405, {"error": "notes cannot do that"})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The terminal is for the address."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int((sys.argv[1:] or ["8765"])[0])), Handler)
    print(f"http://127.0.0.1:{server.server_port}/openapi.json", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
