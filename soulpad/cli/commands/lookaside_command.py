"""``soulpad lookaside``: chunks at hand for others: an index beside packs, a jukebox, a disc."""

from __future__ import annotations

import argparse
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from rich.markup import escape

from soulpad.base.errors import UsageError
from soulpad.base.units import format_bytes
from soulpad.cli.output import emit, people, progress

DEFAULT_PORT = 7685

EPILOG = """example: soulpad lookaside index /media/disk/repository
         soulpad lookaside serve /srv/chunks --name library
         soulpad lookaside iso --of debian.raw debian-chunks.iso

What is served and pressed is encrypted, and checked by whoever uses it: a jukebox or a disc can only help. The one
exception is said aloud: a disc of a base image carries its key, for everybody.

exit codes: 0 done, 10 not a raw disk image, 42 xorriso is not installed, 85 nothing that can be read,
            87 the jukebox cannot begin"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    index = actions.add_parser("index", help="write the index of a folder's packs beside them")
    index.add_argument("folder", metavar="FOLDER", type=Path, help="a repository, or a copy of one")
    serve = actions.add_parser("serve", help="be a jukebox: serve folders' packs on the local network")
    serve.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="repositories, or copies of them")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0: any that is free")
    serve.add_argument("--name", default=socket.gethostname(), help="what people see; default: this computer's name")
    serve.add_argument("--manifests", action="store_true", help="give out the (sealed) manifests of versions too")
    serve.add_argument("--quiet-network", action="store_true", help="do not announce it by multicast DNS")
    iso = actions.add_parser("iso", help="make a disc image of a base image's chunks, or of a repository")
    iso.add_argument("--of", metavar="IMAGE|FOLDER", type=Path, required=True, help="a raw disk image, or a repository")
    iso.add_argument("--public-key", metavar="FILE", type=Path, help="of an IMAGE: the key file of an earlier disc")
    iso.add_argument("out", metavar="OUT.iso", type=Path, help="the disc image (replaced when it exists)")
    find = actions.add_parser("find", help="list the jukeboxes on the local network")
    for action in (index, serve, iso, find):
        # suppressed: its default would undo a --json before the action
        text = "print one JSON object on stdout"
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=text)


def run(arguments: argparse.Namespace) -> int:
    actions = {"index": index, "serve": serve, "iso": iso, "find": find}
    return actions[arguments.action](arguments)


def index(arguments: argparse.Namespace) -> int:
    """Writes an index."""
    from lookaside.media.indexing import write_index

    made = write_index(arguments.folder)
    if arguments.json:
        emit(asdict(made))
        return 0
    people.print(f"{made.chunks} chunks in {made.packs} pack(s) of {format_bytes(made.pack_bytes)}")
    for name in made.left_out:
        people.print(f"[red]damaged, left out:[/red] {name}")
    return 0


def serve(arguments: argparse.Namespace) -> int:
    """Serves until it is ended by Ctrl-C or SIGTERM."""
    from lookaside.jukebox.catalogue import Catalogue
    from lookaside.jukebox.finding import announced
    from lookaside.jukebox.server import JukeboxServer

    if not 0 <= arguments.port < 1 << 16:
        raise UsageError(f"{arguments.port} is no port", "give one from 1 to 65535")
    catalogue = Catalogue(arguments.folders, manifests=arguments.manifests)
    with JukeboxServer(catalogue, arguments.name, arguments.port) as server, ended_by_sigterm():
        if arguments.json:
            emit({"name": server.name, "port": server.server_port, "chunks": catalogue.chunk_count})
        people.print(
            f"{escape(server.name)}: {catalogue.chunk_count} chunks at port {server.server_port}; Ctrl-C ends it"
        )
        with nullcontext() if arguments.quiet_network else announced(server.name, server.server_port):
            server.serve_forever()
    return 0


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Within the block SIGTERM ends it in order, as Ctrl-C does; both are the way to end a jukebox, not a failure."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        people.print("ended")
    finally:
        signal.signal(signal.SIGTERM, before)


def iso(arguments: argparse.Namespace) -> int:
    """Makes a disc image."""
    from lookaside.media.pressing import disc_of_folder, disc_of_image

    if arguments.of.is_dir():
        if arguments.public_key:
            raise UsageError("a repository has its key already", "leave out --public-key")
        made = disc_of_folder(arguments.of, arguments.out)
    else:
        with progress() as bar:
            made = disc_of_image(arguments.of, arguments.out, bar, arguments.public_key)
    if arguments.json:
        emit({"path": str(made.path), "bytes": made.disc_bytes, "packs": made.packs, "public": made.public})
        return 0
    people.print(f"{escape(str(made.path))}: {format_bytes(made.disc_bytes)}, {made.packs} pack(s)")
    if made.public:
        people.print("[bold red]PUBLIC:[/bold red] its key is on it. Whoever has the disc can read the image.")
    return 0


def find(arguments: argparse.Namespace) -> int:
    """Lists jukeboxes."""
    from lookaside.jukebox.finding import find as jukeboxes

    found = jukeboxes()
    if arguments.json:
        emit({"jukeboxes": [asdict(one) for one in found]})
        return 0
    for one in found:
        people.print(f"{escape(one.name)}  {', '.join(one.addresses)}, port {one.port}")
    if not found:
        people.print("no jukebox answers")
    return 0
