"""What was seen of repositories: the newest version of each parcel, so that an older copy of one is noticed.

A JSON file of the format ``soulpad-seen/1``; "repositories": domain's id -> parcel's UUID -> [number, version's name].
It lies with who backs up: in the admin's home, or on the stick. Without it, or if it cannot be read, nothing is
noticed and nothing else is wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lookaside.domain import DomainId
from lookaside.manifest import VersionName
from lookaside.repository import Repository
from soulpad.backup.line import OlderRepository
from soulpad.base.durable import write_durably

FORMAT = "soulpad-seen/1"


class Seen:
    """The file at ``path``, read when asked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def folder(self) -> Path:
        """Where else what helps backups is kept."""
        return self._path.parent

    def newest(self, domain_id: DomainId, parcel: str) -> tuple[int, VersionName] | None:
        """The newest version that was ever seen; None where nothing is known."""
        try:
            number, name = self._repositories()[domain_id.hex()][parcel]
            return int(number), VersionName(str(name))
        except (KeyError, ValueError, TypeError, OverflowError):
            return None

    def note(self, domain_id: DomainId, parcel: str, number: int, name: VersionName) -> None:
        """Notes a version as the newest, durably; where that fails nothing is noted."""
        with suppress(OSError, TypeError, AttributeError):
            repositories = self._repositories()
            repositories.setdefault(domain_id.hex(), {})[parcel] = [number, name]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            content = json.dumps({"format": FORMAT, "repositories": repositories}, indent=1) + "\n"
            write_durably(self._path, content.encode(), mode=0o600)

    def _repositories(self) -> dict[str, dict[str, list[int | str]]]:
        try:
            fields = json.loads(self._path.read_bytes())
            found = fields["repositories"] if fields["format"] == FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def seen_of_this_user(environment: Mapping[str, str] = os.environ) -> Seen:
    """The file in the user's home (XDG Base Directory Specification: state)."""
    home = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Seen(Path(home) / "soulpad" / "seen.json")


def require_not_older(repository: Repository, parcel: str, seen: Seen) -> None:
    """Raises OlderRepository if a version was seen in this repository that it does not have and has none after."""
    known = seen.newest(repository.domain.public_id, parcel)
    if known is None:
        return
    number, name = known
    versions = repository.versions(parcel)
    newest = max(versions, default=-1)
    if newest < number or versions.get(number, name) != name:
        has = f"its newest is {newest}" if versions else "it has none of this parcel"
        raise OlderRepository(
            f"{repository.root} is an older copy of the repository: version {number} was backed up, {has}.",
            "use the copy that has it; to go on with this one all the same: --branch",
        )
