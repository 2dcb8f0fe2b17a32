"""Which Debian mirrors this machine uses: what is built here is fetched from the same ones.

No mirror is written down in the project: a machine behind a proxy or with a local mirror builds as well
as any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from soulpad.base.errors import BadInput
from soulpad.base.run import run

# apt-get(8), "indextargets": the format is filled in per index, whichever way the sources were written down.
# Origin and label come from the downloaded Release files: they are empty before the first `apt-get update`.
_FORMAT = "$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(LABEL)|$(COMPONENT)"

# What debootstrap, mmdebstrap and apt can all fetch from: not cdrom: or mirror+file:.
_SCHEMES = ("http:", "https:", "file:")


@dataclass(frozen=True)
class DebianMirror:
    """Two repository addresses without a slash at the end: Debian itself, and its security updates."""

    main: str
    security: str


@dataclass(frozen=True)
class _Index:
    uri: str
    release: str
    origin: str
    label: str
    component: str


def this_machines_mirror() -> DebianMirror:
    """The mirrors in this machine's apt settings. Raises BadInput when there are none, or none
    that have been asked (`apt-get update`).
    """
    return mirror_of(run(["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"]).stdout)


def mirror_of(index_targets: str) -> DebianMirror:
    """The mirrors in apt's list of index targets (lines of ``_FORMAT``); the first of each kind counts."""
    indexes = list(_indexes(index_targets))
    return DebianMirror(
        main=_first_with(indexes, "Debian"),
        security=_first_with(indexes, "Debian-Security"),
    )


def _indexes(index_targets: str) -> Iterator[_Index]:
    for line in index_targets.splitlines():
        fields = line.strip().split("|")
        if len(fields) == 5:
            yield _Index(*fields)


def _first_with(indexes: list[_Index], label: str) -> str:
    for index in indexes:
        ours = index.origin == "Debian" and index.label == label and index.component == "main"
        if ours and index.uri.startswith(_SCHEMES):
            return index.uri.rstrip("/")
    raise BadInput(
        f"this machine's apt settings name no mirror that calls itself {label}",
        "check the files below /etc/apt/sources.list.d, then run: apt-get update",
    )
