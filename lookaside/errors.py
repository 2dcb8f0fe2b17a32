"""What can be wrong with a chunk, a pack, a manifest or the place that they come from.

``ChunkMissing`` and ``CorruptChunk`` are for code: whoever asks several sources answers them by asking the next.
"""

from __future__ import annotations

from soulpad.base.errors import SoulpadError


class ChunkMissing(SoulpadError):
    """No source that was asked has the chunk."""

    exit_code = 70


class CorruptChunk(SoulpadError):
    """A source gave something else than the chunk."""

    exit_code = 71


class DamagedPack(SoulpadError):
    """A pack is cut short, altered, or none."""

    exit_code = 72


class DamagedManifest(SoulpadError):
    """A version's manifest is cut short, altered, or none."""

    exit_code = 73


class ForeignDomain(SoulpadError):
    """What was found belongs to another domain: another key made it."""

    exit_code = 74


class NoRepository(SoulpadError):
    """There is no repository where one was named, or none can be made there."""

    exit_code = 75


class VersionTaken(SoulpadError):
    """Somebody else made the parcel's next version."""

    exit_code = 76


class DamagedKeySlot(SoulpadError):
    """A key slot of a repository is altered or missing, so that it cannot even be tried."""

    exit_code = 77


class RepositoryDamaged(SoulpadError):
    """Something in a repository is not whole; what it costs was said."""

    exit_code = 90


class RepositoryFailed(SoulpadError):
    """The folder of a repository cannot be read or written."""

    exit_code = 91


class DamagedMarks(SoulpadError):
    """What is about to be deleted from a repository cannot be read."""

    exit_code = 92


class PinBroken(SoulpadError):
    """Somebody took the pin of a run away, so what it relied on may be gone."""

    exit_code = 93


class RepositoryBusy(SoulpadError):
    """Somebody else is collecting garbage."""

    exit_code = 94


class BaseGone(SoulpadError):
    """What a version builds on was deleted while it was being made."""

    exit_code = 95
