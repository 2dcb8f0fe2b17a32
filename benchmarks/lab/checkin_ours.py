"""Makes a version: ``python -m benchmarks.lab.checkin_ours REPOSITORY KEY PAGES FOLDER [FOLDER BEFORE]``.

What a backup from the stick does, without the session's own files. Says how many bytes the memory took.
"""

from __future__ import annotations

import filecmp
import sys
from pathlib import Path

from lookaside.assembling import assemble
from lookaside.athand import AtHand
from lookaside.changed import changed_spans
from lookaside.domain import Domain
from lookaside.making import VersionMaker
from lookaside.outlines import is_outlines
from lookaside.outlining import Outlining
from lookaside.repository import Repository
from lookaside.upload import uploading
from lookaside.versions import resolved
from soulpad.base.errors import VerifyFailed
from soulpad.base.secrets import Secret

PARCEL = "00000000-0000-4000-8000-000000000000"
MEMORY = "ram.img"


def main(root: Path, key: Path, pages: Path, folder: Path, before: Path | None = None) -> None:
    """Stores the version in ``folder``, as a difference against the one in ``before``."""
    domain = Domain(Secret(key.read_bytes()))
    repository = Repository.open(root, domain) if root.exists() else Repository.create(root, domain)
    newest = repository.newest(PARCEL)
    base = resolved(newest, repository.manifest) if newest and before else None
    files = {path.name: path for path in before.iterdir()} if before else {}
    with uploading(repository) as upload:
        outlining = Outlining(domain, upload, base, is_base=base is not None)
        maker = VersionMaker(domain, outlining, AtHand(pages, base, files))
        stored_bytes = 0
        for name in sorted(path.name for path in folder.iterdir()):  # the disk comes first
            changed = changed_spans(files[name], folder / name) if base else None
            if name == MEMORY:
                upload.finish_pack()
                stored_bytes = upload.stored_bytes
                maker.add_memory(name, folder / name, changed)
            else:
                maker.add_image(name, folder / name, changed)
        upload.finish_pack()
        memory_bytes = upload.stored_bytes - stored_bytes
        number = base.manifest.sequence + 1 if base else 0
        outlining.add_to(maker, number)
        upload.commit(maker.manifest(PARCEL, number, newest, base.name if base else None, {}))
        print(memory_bytes)


def require_restored(root: Path, key: Path, folder: Path, scratch: Path) -> None:
    """Restores the newest version's files and compares them with those in ``folder``. Raises VerifyFailed."""
    repository = Repository.open(root, Domain(Secret(key.read_bytes())))
    newest = repository.newest(PARCEL)
    assert newest
    version, target = resolved(newest, repository.manifest), scratch / "restored"
    for name, image in version.images.items():
        if is_outlines(name):
            continue
        assemble(target, image.image_bytes, image.extents, version.chunks, repository)
        same = filecmp.cmp(target, folder / name, shallow=False)
        target.unlink()
        if not same:
            raise VerifyFailed(f"{name} does not come back as it was", "this must never happen")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
