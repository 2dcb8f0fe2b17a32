"""The key slots of a repository: which there are, opening one, adding and removing one; and making a repository.

A slot is added by giving a whole file its name, and removed by taking its name away: nothing in between is seen, and
nobody needs a lock. Whoever knew the secret of a slot that was removed may still have the domain's key.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from lookaside.domain import Domain, DomainId
from lookaside.errors import DamagedKeySlot
from lookaside.keyslots import LARGEST_FILE_BYTES, KeySlot, Kind, Stretching, decode, unwrap, wrap
from lookaside.placing import give_name, new_name, place
from lookaside.repository import KEYS, STAGED, Repository, domain_id_of, require_unused
from soulpad.base.durable import fsync_path
from soulpad.base.errors import BadInput, SoulpadError, UnknownFormat, WrongPassphrase
from soulpad.base.secrets import Secret

NAME_DIGITS = 16


@dataclass(frozen=True)
class Key:
    """What opens a slot: a passphrase, or the bytes of a key file."""

    secret: Secret
    kind: Kind = "passphrase"


def slots(root: Path, domain_id: DomainId) -> dict[str, KeySlot | SoulpadError]:
    """The domain's key slots by their names, sorted; for one that cannot be read, why. Those of other domains are
    left out. Raises OSError."""
    found: dict[str, KeySlot | SoulpadError] = {}
    folder = root / KEYS
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            with path.open("rb") as file:
                slot = decode(file.read(LARGEST_FILE_BYTES + 1))
        except (DamagedKeySlot, UnknownFormat) as error:
            found[path.stem] = error
            continue
        if slot.domain_id == domain_id:
            found[path.stem] = slot
    return found


def unlock(root: Path, key: Key) -> Domain:
    """The domain of the repository in ``root``. Raises NoRepository, WrongPassphrase; DamagedKeySlot, or UnknownFormat,
    where no slot can be tried."""
    found = slots(root, domain_id_of(root))
    usable = [slot for slot in found.values() if isinstance(slot, KeySlot)]
    for slot in usable:
        if slot.kind == key.kind and (domain := unwrap(slot, key.secret)):
            return domain
    if not usable:
        raise next((error for error in found.values() if isinstance(error, SoulpadError)), no_slots(root))
    kinds = " or ".join(sorted({slot.kind.replace("-", " ") for slot in usable}))
    raise WrongPassphrase(
        f"No key slot of the repository {root} opens with this {key.kind.replace('-', ' ')}.",
        f"give the repository's own {kinds}: it may be another than the stick's",
    )


def open_repository(root: Path, key: Key) -> Repository:
    """As ``unlock``."""
    return Repository.open(root, unlock(root, key))


def found_repository(root: Path, key: Key, stretching: Stretching | None = None) -> Repository:
    """Makes a repository of a new domain in a new or empty folder, its first key slot being ``key``'s.

    The slot is durable before there is a repository. What a cut leaves is no repository, and may be used again.
    Raises NoRepository, OSError.
    """
    require_unused(root)
    domain = Domain.new()
    root.mkdir(parents=True, exist_ok=True)
    (root / STAGED).mkdir(exist_ok=True)
    add(root, wrap(domain, key.secret, key.kind, stretching))
    return Repository.create(root, domain)


def add(root: Path, slot: KeySlot) -> str:
    """Adds a slot durably; returns its name. Raises OSError."""
    name = token_hex(NAME_DIGITS // 2)
    place(slot.encode(), slot_path(root, name), root / STAGED, replace=False)  # commit point
    return name


def remove(root: Path, name: str, domain_id: DomainId) -> None:
    """Removes a slot durably. Raises BadInput if there is none of that name, or if it is the last whole one.

    It is taken away first and looked for others after that, so that of two who remove the last two at once both give
    theirs back.
    """
    require_another(root, name, domain_id)
    aside, path = new_name(root / STAGED), slot_path(root, name)
    path.replace(aside)  # commit point, unless the others went meanwhile
    try:
        require_another(root, name, domain_id, gone=True)
    except BadInput:
        give_name(aside, path, replace=False)
        raise
    fsync_path(path.parent)
    aside.unlink()


def require_another(root: Path, name: str, domain_id: DomainId, *, gone: bool = False) -> None:
    """Raises BadInput unless there is a whole slot beside the one of that name."""
    found = slots(root, domain_id)
    if name not in found and not gone:
        raise BadInput(f"{root} has no key slot {name!r}", f"it has: {', '.join(found) or 'none'}")
    if not any(isinstance(slot, KeySlot) for other, slot in found.items() if other != name):
        raise BadInput("this is the repository's last key slot: nobody could read it any more", "add another first")


def slot_path(root: Path, name: str) -> Path:
    return root / KEYS / f"{name}.json"


def no_slots(root: Path) -> DamagedKeySlot:
    return DamagedKeySlot(
        f"The repository {root} has no key slot: nobody can open it.",
        f"put the files of {KEYS}{os.sep} back from a copy of the repository",
    )
