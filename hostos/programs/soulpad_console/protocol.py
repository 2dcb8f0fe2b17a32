"""What the session service asks over the socket: one JSON object a line, each answered by one line.

    {"ask": "passphrase", "message": ""}                                      -> {"passphrase": "..."}
    {"ask": "choice", "title": "", "text": [], "options": [""], "default": 0} -> {"choice": 0}
    {"show": "message", "title": "", "text": []}                              -> {"ok": true}
    {"show": "working", "text": "Unlocking"}                                  -> {"ok": true}
    {"show": "advice", "text": []}                                            -> {"ok": true}
    {"hide": true}                                                            -> {"ok": true}

Where the person wants to choose the moment to go on from (F5), a passphrase comes with "go_back": true.
A question may be answered {"power_off": true}: the person chose F4, now or before. What is only shown is always
shown, so that F4 never comes between a session and its suspend. Advice stands below the field of every prompt from
then on and changes nothing else: neither what is shown nor what is typed nor what is asked. What cannot be understood
is answered {"error": "..."}. A request that comes before the last was answered takes its place.
"""

from __future__ import annotations

LONGEST_LINE_BYTES = 65536
POWER_OFF: dict[str, object] = {"power_off": True}
OK: dict[str, object] = {"ok": True}


class BadRequest(Exception):
    """A line that is no request. Its text is for the session service's log."""


class Request:
    """A request that can be acted on. ``kind``: passphrase, choice, message, working, advice or hide."""

    def __init__(self, kind: str, fields: dict[str, object]) -> None:
        self.kind = kind
        self._fields = fields
        self.message = self._text("message")
        self.title = self._text("title")
        self.lines = self._texts("text") if kind in ("choice", "message", "advice") else []
        self.activity = self._text("text") if kind == "working" else ""
        self.options = self._texts("options")
        self.default = self._place("default")
        del self._fields

    def _text(self, name: str) -> str:
        value = self._fields.get(name, "")
        if not isinstance(value, str):
            raise BadRequest(f"{name} is not a text")
        return drawable(value)

    def _texts(self, name: str) -> list[str]:
        value = self._fields.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BadRequest(f"{name} is not a list of texts")
        return [drawable(item) for item in value]

    def _place(self, name: str) -> int:
        if self.kind != "choice":
            return 0
        value = self._fields.get(name, 0)
        if not isinstance(value, int) or not 0 <= value < len(self.options):
            raise BadRequest(f"{name} is not the place of an option")
        return value


def drawable(text: str) -> str:
    """``text`` without characters that would steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def parse(line: bytes) -> Request:
    """The request in a line. Raises BadRequest."""
    import json  # here, because its import takes longer than drawing the prompt

    try:
        fields = json.loads(line)
    except ValueError:
        raise BadRequest("not JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest("not an object")
    if fields.get("hide") is True:
        return Request("hide", fields)
    for verb, kinds in (("ask", ("passphrase", "choice")), ("show", ("message", "working", "advice"))):
        if fields.get(verb) in kinds:
            return Request(fields[verb], fields)
    raise BadRequest("neither a known ask, nor show, nor hide")


def encode(answer: dict[str, object]) -> bytes:
    """An answer's line."""
    import json

    return json.dumps(answer).encode() + b"\n"
