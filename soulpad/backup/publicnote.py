"""What a new version notes of a public base: which of its chunks a disc can give to anybody (lookaside.publicbase)."""

from __future__ import annotations

from dataclasses import replace

from lookaside.domain import Domain
from lookaside.manifest import Manifest, VersionName
from lookaside.publicbase import (
    DOCUMENT,
    NotingDomain,
    PublicBase,
    in_order,
    note_by_number,
    note_in,
    noted_numbers,
    numbers_of,
)
from lookaside.repository import Repository
from lookaside.versions import Version, resolved


def noting(domain: Domain, public: PublicBase | None) -> Domain:
    """The domain to cut a version with."""
    return NotingDomain(domain.key, public) if public else domain


def with_note(manifest: Manifest, domain: Domain, before: Version | None, repository: Repository) -> Manifest:
    """The manifest, with what ``domain`` took note of while its images were cut, and with what the version ``before``
    notes of the same base: of what did not change since, nothing was cut."""
    note = note_in(before) if before else None
    if isinstance(domain, NotingDomain):
        name, of, numbers = domain.base.version, domain.base.domain, numbers_of(domain.noted, domain.base)
    elif note:
        name, of, numbers = note.version, note.domain, {}
    else:
        return manifest
    if before and note and (note.version, note.domain.public_id) == (name, of.public_id):
        numbers = noted_numbers(in_order(before), note) | numbers
    itself = VersionName("")
    version = resolved(itself, lambda wanted: manifest if wanted == itself else repository.manifest(wanted))
    document = note_by_number(in_order(version), numbers, of, name)
    return replace(manifest, documents=manifest.documents | {DOCUMENT: document})
