"""Sources that stack: the first that has a chunk whole gives it; none can make the result wrong."""

from dataclasses import dataclass, field

import pytest

from lookaside.domain import ChunkId, Domain
from lookaside.errors import ChunkMissing, CorruptChunk
from lookaside.source import FirstOf, Tally
from soulpad.base.errors import SoulpadError
from soulpad.base.secrets import Secret

DOMAIN = Domain(Secret(bytes(range(32))))
CONTENT = b"what is looked for"
WANTED = DOMAIN.chunk_id(CONTENT)


@dataclass
class Shelf:
    """A source that has CONTENT, or gives the errors it is told to."""

    name: str
    error: SoulpadError | None = None
    asked: list[ChunkId] = field(default_factory=list)

    def get(self, chunk_id: ChunkId) -> bytes:
        self.asked.append(chunk_id)
        if self.error:
            raise self.error
        return CONTENT


def test_the_first_that_has_it_gives_it_and_the_others_are_not_asked() -> None:
    near, far = Shelf("near"), Shelf("far")
    all_of_them = FirstOf([near, far])
    assert all_of_them.get(WANTED) == CONTENT
    assert not far.asked
    assert all_of_them.tallies == {"near": Tally(chunks=1, content_bytes=len(CONTENT))}


def test_what_is_missing_or_damaged_at_one_comes_from_the_next() -> None:
    told: list[str] = []
    lacking, garbling = Shelf("lacking", ChunkMissing("no")), Shelf("garbling", CorruptChunk("garbled"))
    all_of_them = FirstOf([lacking, garbling, Shelf("good")], lambda name, _error: told.append(name))
    assert [all_of_them.get(WANTED) for _ in range(2)] == [CONTENT] * 2
    assert told == ["garbling", "garbling"]
    assert all_of_them.tallies["lacking"].missing == all_of_them.tallies["garbling"].corrupt == 2
    assert all_of_them.tallies["good"].content_bytes == 2 * len(CONTENT)


def test_a_medium_that_was_pulled_out_is_not_waited_for_again_until_it_is_added_anew() -> None:
    gone = Shelf("gone", SoulpadError("pulled out"))
    all_of_them = FirstOf([gone, Shelf("good")])
    assert [all_of_them.get(WANTED) for _ in range(3)] == [CONTENT] * 3
    assert len(gone.asked) == 1
    all_of_them.remove("gone")
    all_of_them.add(gone)
    all_of_them.remove("good")
    with pytest.raises(ChunkMissing):
        all_of_them.get(WANTED)
    assert len(gone.asked) == 2


def test_what_nobody_has_is_said_with_who_was_asked_and_who_is_unusable() -> None:
    all_of_them = FirstOf([Shelf("dvd", ChunkMissing("no")), Shelf("jukebox", SoulpadError("hangs"))])
    with pytest.raises(ChunkMissing, match=rf"{WANTED.hex()[:12]}.*asked: dvd, jukebox") as caught:
        all_of_them.get(WANTED)
    assert caught.value.hint == "not usable: jukebox"


def test_without_any_source_a_chunk_is_missing() -> None:
    with pytest.raises(ChunkMissing, match="nowhere"):
        FirstOf([]).get(WANTED)
