"""Making a disc: an ISO 9660 image (Rock Ridge, by xorriso) with packs, their index, and what else a repository has.

From a base image the packs are made first, in a public domain whose key goes onto the disc. The image appears under its
name when it is whole.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from blake3 import blake3

from lookaside.domain import Domain
from lookaside.errors import SourceUnusable
from lookaside.index import INDEX_FILE
from lookaside.making import VersionMaker
from lookaside.media.indexing import index_of
from lookaside.media.shelf import PACKS, Shelf
from lookaside.media.trees import FolderTree
from lookaside.publickey import PUBLIC_KEY_FILE, decode_public_key, encode_public_key, public_domain_of
from lookaside.repository import DESCRIPTION, MANIFESTS, VERSIONS, Repository
from lookaside.upload import uploading
from soulpad.base.durable import fsync_path, replace_durably
from soulpad.base.errors import BadInput
from soulpad.base.progress import Progress
from soulpad.base.run import run

IMAGE_NAME = "disk-0.img"
LABEL = "SOULPAD_CHUNKS"
ON_DISC = (DESCRIPTION, PACKS, MANIFESTS, VERSIONS, PUBLIC_KEY_FILE)
_OTHER_FORMATS = {b"QFI\xfb": "qcow2", b"KDMV": "VMDK", b"conectix": "VHD"}


@dataclass(frozen=True)
class Disc:
    """A disc image that was made. ``public``: who has it can read what is on it."""

    path: Path
    disc_bytes: int
    packs: int
    public: bool


def disc_of_folder(folder: Path, out: Path) -> Disc:
    """A disc with the packs of a repository as they are. Raises SourceUnusable, MissingProgram, NoSpace, OSError."""
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        shelf = Shelf(FolderTree(folder))
        encoded, _ = index_of(shelf)
        index_path = Path(scratch) / INDEX_FILE
        index_path.write_bytes(encoded)
        present = {name: folder / name for name in ON_DISC if (folder / name).exists()}
        staged = Path(scratch) / "disc"
        run(xorriso_argv(staged, {**present, INDEX_FILE: index_path}))
        fsync_path(staged)
        replace_durably(staged, out)  # commit point
        packs = sum(1 for _ in shelf.packs())
        return Disc(out, out.stat().st_size, packs, PUBLIC_KEY_FILE in present)


def disc_of_image(image: Path, out: Path, bar: Progress, public_key: Path | None = None) -> Disc:
    """A disc with the chunks of a raw disk image, in a public domain: that of ``public_key``, a file of an earlier
    medium, or the image's own. Raises as ``disc_of_folder`` does, and BadInput."""
    require_raw(image)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        bar.step("reading the image")
        domain = domain_in_file(public_key) if public_key else public_domain_of(digest_of(image, bar.advance))
        bar.step("sealing its chunks")
        folder = Path(scratch) / "repository"
        store_base(image, Repository.create(folder, domain))
        (folder / PUBLIC_KEY_FILE).write_bytes(encode_public_key(domain))
        bar.step("writing the disc image")
        return disc_of_folder(folder, out)


def store_base(image: Path, repository: Repository) -> None:
    """The image as the first version of a parcel whose UUID follows from its domain. Raises OSError."""
    parcel = str(uuid.UUID(bytes=bytes(repository.domain.public_id)))
    with uploading(repository) as upload:
        maker = VersionMaker(repository.domain, upload)
        maker.add_image(IMAGE_NAME, image)
        upload.commit(maker.manifest(parcel, 0, None, None, {}))


def domain_in_file(path: Path) -> Domain:
    """The domain of a public key's file. Raises SourceUnusable, UnknownFormat."""
    try:
        return decode_public_key(path.read_bytes())
    except OSError as error:
        raise SourceUnusable(f"{path} cannot be read: {error.strerror}.", "name the key file of a medium") from None


def digest_of(image: Path, advance: Callable[[int, int], None]) -> bytes:
    """The BLAKE3 of a file. Raises OSError."""
    digest, total = blake3(), image.stat().st_size
    with image.open("rb", buffering=0) as file:
        while part := file.read(8 << 20):
            digest.update(part)
            advance(file.tell(), total)
    return digest.digest()


def require_raw(image: Path) -> None:
    """Raises BadInput for a file that is no raw disk image, or none."""
    try:
        with image.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise BadInput(f"{image} cannot be read: {error.strerror}.", "name a raw disk image or a repository") from None
    found = next((name for magic, name in _OTHER_FORMATS.items() if start.startswith(magic)), None)
    if found or not start:
        what = f"a {found} image" if found else "empty"
        raise BadInput(f"{image} is {what}, not a raw disk image.", "make it one: qemu-img convert -O raw")


def xorriso_argv(out: Path, content: dict[str, Path]) -> list[str]:
    """The command that makes ``out`` with each of ``content`` under its name."""
    grafts = [f"{escaped(name)}={escaped(os.fspath(path.absolute()))}" for name, path in content.items()]
    return ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-iso-level", "3", "-V", LABEL, "-o", str(out),
            "-graft-points", *grafts]  # fmt: skip


def escaped(path: str) -> str:
    """A path as a graft point takes it: xorriso splits at the first equals sign without a backslash."""
    return path.replace("\\", "\\\\").replace("=", "\\=")
