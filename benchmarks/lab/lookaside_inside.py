"""At the far computer: one check-out, as a request on standard input says; its figures go to standard output.

A stick has the manifest of the version that it holds, so that the right one asks the repository for nothing. The
repository is greeted all the same, meanwhile, as whoever asks it for news would do.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from lookaside.manifestplaces import HasManifests, first_whole
from lookaside.sealed import Opened
from lookaside.source import ChunkSource, FirstOf, unreadable
from lookaside.versions import Version, resolved
from soulpad.base.secrets import Secret

PATIENCE_SECONDS = 60.0


@dataclass
class Manifests:
    """Those of a place, and how many bytes of them it gave."""

    place: HasManifests
    given_bytes: int = 0

    def manifest(self, name: VersionName) -> bytes:
        encoded = self.place.manifest(name)
        self.given_bytes += len(encoded)
        return encoded


@dataclass(frozen=True)
class OnStick:
    """The manifests in a stick's folder, each under its version's name."""

    folder: Path

    def manifest(self, name: VersionName) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise unreadable(str(self.folder), error) from None


def check_out(request: dict[str, Any]) -> dict[str, Any]:
    """``server``: [address, port] of the repository; ``jukebox``: the same of a jukebox, or null; ``stick``: a folder
    with images and manifests and the name of their version, or null; ``version``: which one to make in the file
    ``target``."""
    domain = Domain(Secret(bytes.fromhex(request["key"])))
    target = Path(request["target"])
    target.unlink(missing_ok=True)
    started = time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        greeting = beside.submit(jukebox_at(request["server"], "repository").info)
        server = jukebox_at(request["server"], "repository")
        jukebox = jukebox_at(request["jukebox"], "jukebox") if request["jukebox"] else None
        from_server = Manifests(server)
        stick = OnStick(Path(request["stick"][0])) if request["stick"] else None
        places: list[HasManifests] = [place for place in (stick, jukebox, from_server) if place]
        version = version_of(domain, request["version"], places)
        sources: list[ChunkSource] = []
        if request["stick"]:
            folder, name = request["stick"]
            known = version_of(domain, name, places) if name != request["version"] else version
            sources.append(ImagesSource("stick", domain, {IMAGE: Path(folder) / IMAGE}, places_of(known)))
        sources += [Opened(place, domain) for place in (jukebox, server) if place]
        asked = FirstOf(sources)
        image = version.images[IMAGE]
        assemble(target, image.image_bytes, image.extents, version.chunks, asked)
        greeting.result()
    seconds = time.monotonic() - started
    return {
        "seconds": seconds,
        **Came(asked.tallies, image.image_bytes).to_fields(),
        "slow_link_bytes": server.received_bytes + from_server.given_bytes,
        "digest": blake3(target.read_bytes()).hexdigest(),
    }


def jukebox_at(place: list[Any], name: str) -> Jukebox:
    return Jukebox([str(place[0])], int(place[1]), name, PATIENCE_SECONDS)


def version_of(domain: Domain, name: str, places: Sequence[HasManifests]) -> Version:
    """The version, by its manifests from the first place that has them."""
    return resolved(VersionName(name), lambda wanted: first_whole(domain, wanted, places))


if __name__ == "__main__":
    json.dump(check_out(json.load(sys.stdin)), sys.stdout)
