"""What jukebox and client say to each other: HTTP/1.1, version 1 (docs/formats/jukebox.md).

GET  /soulpad-jukebox/1                 JSON: "format", "name", "chunks"
POST /soulpad-jukebox/1/chunks          body: chunk ids, 32 bytes each; answer: head | body (see pack) of those that
                                        are there, in any order, and nothing of the others
GET  /soulpad-jukebox/1/chunks/ID       head | body of one chunk; ID is in hex
GET  /soulpad-jukebox/1/packs/NAME      a pack, or a range of it
GET  /soulpad-jukebox/1/indexes/NUMBER  the index of a folder, or a range of it; folders count from 0
GET  /soulpad-jukebox/1/manifests/NAME  a manifest: of public domains, and of others where the owner allows it
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NamedTuple

from lookaside.domain import CHUNK_ID_BYTES, ChunkId
from lookaside.errors import SourceUnusable

ROOT = "/soulpad-jukebox/1"
FORMAT = "soulpad-jukebox/1"
DEFAULT_PORT = 7685
MOST_IDS = 256  # in one request
LARGEST_INFO_BYTES = 64 << 10
SLOWEST_BYTES_PER_SECOND = 4096  # who sends or takes less than that on average is given up

_PATHS = re.compile(
    rf"{ROOT}/(?:(?P<batch>chunks)|chunks/(?P<chunk>[0-9a-f]{{64}})|packs/(?P<pack>[0-9a-f]{{64}})"
    r"|manifests/(?P<manifest>[0-9a-f]{64})|indexes/(?P<index>[0-9]{1,4}))"
)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Asked(NamedTuple):
    """What a path names: a kind ("info", "batch", "chunk", "pack", "manifest", "index") and a name of that kind."""

    kind: str
    name: str


@dataclass(frozen=True)
class Info:
    """What a jukebox says of itself. ``chunks``: how many it has, about."""

    name: str
    chunks: int

    def encode(self) -> bytes:
        return json.dumps({"format": FORMAT, "name": self.name, "chunks": self.chunks}).encode() + b"\n"


def parse_path(path: str) -> Asked | None:
    """What a request's path names; None: nothing."""
    if path in (ROOT, f"{ROOT}/"):
        return Asked("info", "")
    match = _PATHS.fullmatch(path)
    if match is None or match.lastgroup is None:
        return None
    return Asked(match.lastgroup, match[match.lastgroup])


def parse_ids(body: bytes) -> list[ChunkId] | None:
    """The ids in a request's body, each once; None: it is none, or too long."""
    if not body or len(body) % CHUNK_ID_BYTES or len(body) > MOST_IDS * CHUNK_ID_BYTES:
        return None
    parts = (body[at : at + CHUNK_ID_BYTES] for at in range(0, len(body), CHUNK_ID_BYTES))
    return [ChunkId(part) for part in dict.fromkeys(parts)]


def parse_range(text: str | None, file_bytes: int) -> tuple[int, int] | None:
    """The first byte and the end of what a Range header asks for; all without one, or where it is none that we know
    (RFC 9110, 14.2 allows that). None: nothing of the file is in it."""
    match = _RANGE.fullmatch(text or "")
    if match is None or not (match[1] or match[2]):
        return 0, file_bytes
    if not match[1]:
        start, end = max(0, file_bytes - int(match[2])), file_bytes
    else:
        start, end = int(match[1]), min(int(match[2]) + 1, file_bytes) if match[2] else file_bytes
    return (start, end) if start < end else None


def parse_info(body: bytes, where: str) -> Info:
    """What a jukebox says of itself. Raises SourceUnusable."""
    try:
        fields = json.loads(body)
        found, info = fields["format"], Info(str(fields["name"])[:200], int(fields["chunks"]))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise SourceUnusable(f"{where} is no jukebox.", "look at its name and port") from None
    if found != FORMAT:
        raise SourceUnusable(f"{where} speaks {str(found)[:40]!r}, this program {FORMAT!r}.", "use a newer soulpad")
    return info
