"""What a checkpoint came from: its ``history``, the fingerprints of the checkpoints before it.

Generations tell nothing between two sticks: both may go on from one checkpoint, and both call the next one by the same
number. A fingerprint is made of all that ``checkpoint.json`` says, its history included, so equal ones mean equal
pasts. The identity of the files is left out: it is another one on every file system.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from soulpad.base.errors import SoulpadError
from soulpad.store.checkpoint import FORMAT, MANIFEST_NAME, CheckpointManifest, Fingerprint
from soulpad.store.document import decode

FINGERPRINT_DIGITS = 16
# With a checkpoint every five minutes this is four days of work without a pause; it takes 17 KB.
MOST_ANCESTORS = 1024


def fingerprint(content: bytes) -> Fingerprint:
    """The first 64 bits, in hex, of the SHA-256 of a ``checkpoint.json`` as JSON with sorted names, without blanks and
    without "identity". Raises StoreDamaged, UnknownFormat."""
    decode(content, FORMAT, MANIFEST_NAME)
    fields = json.loads(content)
    fields.pop("identity", None)
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return Fingerprint(hashlib.sha256(canonical).hexdigest()[:FINGERPRINT_DIGITS])


def history_after(parent: Path) -> tuple[Fingerprint, ...]:
    """The history of a checkpoint that a session made which came from the one in the folder ``parent``. Empty where
    that cannot be read: then nobody can tell what came before, and nothing else is wrong."""
    try:
        content = (parent / MANIFEST_NAME).read_bytes()
        before = CheckpointManifest.decode(content).history
        return (fingerprint(content), *before)[:MOST_ANCESTORS]
    except (OSError, SoulpadError):
        return ()


def reaches_its_beginning(manifest: CheckpointManifest) -> bool:
    """Whether the history names every checkpoint that came before."""
    if manifest.parent is None:
        return True
    return 0 < len(manifest.history) < MOST_ANCESTORS
