"""The parcels of an image or a device as subjects of a backup, and as sources of chunks: without root for an image, and
without device-mapper and mounting for either. Nothing is decrypted to a disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from builder.disk.esp import read_esp_file
from builder.disk.partitions import Layout, read_layout
from builder.store.plainview import PlainView, plain_view
from builder.store.xfsfile import XfsFile
from builder.store.xfswalk import Xfs
from soulpad.backup.subject import Moment, Subject, Subjects, gathered
from soulpad.base.errors import BadImage, SoulpadError, StoreDamaged
from soulpad.base.secrets import Secret
from soulpad.store.checkpoint import MANIFEST_NAME
from soulpad.store.layout import ParcelPaths
from soulpad.store.stick import DESCRIPTION_NAME, StickDescription

STICK_FORMAT = "soulpad-backed-up-stick/1"
_RESTORE = "restore the parcel from a backup"


@contextmanager
def subjects_on(path: Path, secret: Secret) -> Iterator[Subjects]:
    """All parcels of a stick or an image, to be used before the block ends.

    Raises BadImage, WrongPassphrase, UnknownFormat; StoreDamaged also for a store that was not unmounted in order, for
    what is read of it might be of another time.
    """
    layout = readable_layout(path)
    with plain_view(path, layout.of("parcels"), secret) as view:
        store = Xfs(view)
        if not store.was_unmounted():
            raise StoreDamaged(
                f"the last session on {path} did not end in order, or is running", "start the stick once and suspend it"
            )
        folder = PurePosixPath(ParcelPaths(Path(), "").folder)
        uuids = [name for name, inode in store.children(folder).items() if inode.is_folder and name[0] != "."]
        stick = stick_facts(path, layout)
        yield gathered(lambda uuid: subject_of(store, view, ParcelPaths(Path(), uuid), stick), uuids)


def readable_layout(path: Path) -> Layout:
    """The partitions. Raises BadImage."""
    try:
        return read_layout(path)
    except OSError as error:
        hint = "reading a device takes root" if path.is_block_device() else "check the name"
        raise BadImage(f"{path} cannot be read: {error.strerror}", hint) from None


def stick_facts(path: Path, layout: Layout) -> str:
    """What it takes to make a stick like this one again, as JSON: its size and its keyboard."""
    try:
        keyboard = StickDescription.decode(read_esp_file(path, layout.of("esp"), DESCRIPTION_NAME)).keyboard
    except SoulpadError:
        keyboard = None
    return json.dumps({"format": STICK_FORMAT, "total_bytes": layout.total_bytes, "keyboard": keyboard})


def subject_of(store: Xfs, view: PlainView, paths: ParcelPaths, stick: str) -> Subject:
    """One parcel. Raises StoreDamaged when its current checkpoint cannot be read."""
    text = content_of(store, PurePosixPath(paths.current)).decode(errors="replace").strip()
    moments = dict(moments_of(store, view, paths))
    if not text.isdecimal() or int(text) not in moments:
        raise StoreDamaged(f"the current checkpoint of parcel {paths.uuid} cannot be read", _RESTORE)
    current = moments.pop(int(text))
    newest_first = [moments[generation] for generation in sorted(moments, reverse=True)]
    return Subject(content_of(store, PurePosixPath(paths.description)), current, tuple(newest_first), stick)


def moments_of(store: Xfs, view: PlainView, paths: ParcelPaths) -> Iterator[tuple[int, Moment]]:
    """The checkpoints whose manifests can be read, with their generations."""
    folder = PurePosixPath(paths.checkpoints)
    for name, inode in store.children(folder).items():
        if not (inode.is_folder and name.isdecimal()):
            continue
        try:
            files = {name: file for name, file in store.children(folder / name).items() if file.is_file}
            moment = Moment(
                content_of(store, folder / name / MANIFEST_NAME),
                {name: XfsFile(store, view, file) for name, file in files.items()},
            )
            if moment.manifest.generation == int(name):
                yield int(name), moment
        except SoulpadError:
            continue


def content_of(store: Xfs, path: PurePosixPath) -> bytes:
    content = store.read_file(path)
    if content is None:
        raise StoreDamaged(f"{path} is missing in the store", _RESTORE)
    return content
