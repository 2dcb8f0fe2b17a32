"""A manifest comes from the first place that has it whole, and no place is believed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lookaside.domain import Domain
from lookaside.errors import DamagedManifest, SourceUnusable
from lookaside.manifest import Manifest, VersionName, encode_manifest, version_name
from lookaside.manifestplaces import first_whole

DOMAIN = Domain.new()
MANIFEST = Manifest("parcel", 0, None, None, ())
ENCODED = encode_manifest(DOMAIN, MANIFEST)
NAME = version_name(ENCODED)


@dataclass(frozen=True)
class Place:
    content: bytes | None

    def manifest(self, name: VersionName) -> bytes:
        if self.content is None:
            raise SourceUnusable("it is not here", "look elsewhere")
        return self.content


LACKS, ALTERED, ANOTHERS, HAS = (
    Place(None),
    Place(ENCODED[:-1] + bytes([ENCODED[-1] ^ 1])),
    Place(encode_manifest(DOMAIN, MANIFEST)),
    Place(ENCODED),
)


@pytest.mark.parametrize("before", [(), (LACKS,), (ALTERED,), (ANOTHERS,), (LACKS, ALTERED, ANOTHERS)])
def test_the_first_place_that_has_it_whole_gives_it(before: tuple[Place, ...]) -> None:
    assert first_whole(DOMAIN, NAME, [*before, HAS]) == MANIFEST


def test_what_ails_the_last_place_is_said_where_none_has_it() -> None:
    with pytest.raises(DamagedManifest, match="altered"):
        first_whole(DOMAIN, NAME, [LACKS, ALTERED])
    with pytest.raises(SourceUnusable, match="nothing at hand"):
        first_whole(DOMAIN, NAME, [])
