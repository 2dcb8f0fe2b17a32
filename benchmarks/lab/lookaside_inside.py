"""At the far computer: one check-out, as a request on standard input says; its figures go to standard output."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: the project's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from blake3 import blake3

from benchmarks.lab.lookaside_state import IMAGE
from lookaside.assembling import assemble
from lookaside.came import Came
from lookaside.domain import Domain
from lookaside.images import ImagesSource, places_of
from lookaside.jukebox.client import Jukebox
from lookaside.manifest import VersionName
from lookaside.media.bases import proved_manifest
from lookaside.sealed import Opened
from lookaside.source import ChunkSource, FirstOf
from lookaside.versions import Version, resolved
from soulpad.base.secrets import Secret

PATIENCE_SECONDS = 60.0


def check_out(request: dict[str, Any]) -> dict[str, Any]:
    """``server``: [address, port] of the repository; ``jukebox``: the same of a jukebox, or null; ``stick``: a folder
    with images and the name of their version, or null; ``version``: which one to make in the file ``target``."""
    domain = Domain(Secret(bytes.fromhex(request["key"])))
    started = time.monotonic()
    server = jukebox_at(request["server"], "repository")
    version = version_from(server, domain, request["version"])
    sources: list[ChunkSource] = []
    if request["stick"]:
        folder, name = request["stick"]
        known = version_from(server, domain, name) if name != request["version"] else version
        sources.append(ImagesSource("stick", domain, {IMAGE: Path(folder) / IMAGE}, places_of(known)))
    jukebox = jukebox_at(request["jukebox"], "jukebox") if request["jukebox"] else None
    sources += [Opened(place, domain) for place in (jukebox, server) if place]
    asked = FirstOf(sources)
    image = version.images[IMAGE]
    target = Path(request["target"])
    assemble(target, image.image_bytes, image.extents, version.chunks, asked)
    seconds = time.monotonic() - started
    return {
        "seconds": seconds,
        **Came(asked.tallies, image.image_bytes).to_fields(),
        "slow_link_bytes": server.received_bytes,
        "digest": blake3(target.read_bytes()).hexdigest(),
    }


def jukebox_at(place: list[Any], name: str) -> Jukebox:
    return Jukebox([str(place[0])], int(place[1]), name, PATIENCE_SECONDS)


def version_from(server: Jukebox, domain: Domain, name: str) -> Version:
    """The version, by its manifests from the repository."""
    return resolved(VersionName(name), lambda wanted: proved_manifest(domain, wanted, server.manifest(wanted)))


if __name__ == "__main__":
    json.dump(check_out(json.load(sys.stdin)), sys.stdout)
