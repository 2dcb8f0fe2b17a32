"""A repository that is read with other copies beside it: manifests that it lost, or that were altered, come from those.

A lost manifest costs the versions that are differences on top of it as well, though all chunks may be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

from lookaside.manifest import Manifest, VersionName
from lookaside.manifestplaces import HasManifests, first_whole
from lookaside.repository import Repository
from soulpad.base.errors import SoulpadError


class WithOtherCopies(Repository):
    """``others``: gives the places that may have manifests; it is asked when one is lost, and once."""

    def __init__(self, repository: Repository, others: Callable[[], Iterable[HasManifests]]) -> None:
        super().__init__(repository.root, repository.domain)
        self._others = others

    def manifest(self, name: VersionName) -> Manifest:
        """As ever; what is wrong here is raised where no other copy has it either."""
        try:
            return super().manifest(name)
        except (SoulpadError, OSError):
            try:
                return first_whole(self.domain, name, self._asked)
            except SoulpadError:
                pass
            raise

    @cached_property
    def _asked(self) -> list[HasManifests]:
        return list(self._others())
