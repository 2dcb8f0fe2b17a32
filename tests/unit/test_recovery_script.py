"""The script in docs/recovery.md reads a real repository with three libraries and nothing of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from builder.places import ROOT
from lookaside.keyring import add, open_repository
from lookaside.keyslots import wrap
from lookaside.marks import pinned
from soulpad.base.secrets import Secret
from soulpad.store.layout import ParcelPaths

from .backup_parcels import CHEAP, KEY, UUID, add_checkpoint, content_of, make_parcel, make_repository, save

GENERATIONS = 3


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a parcel of three checkpoints, each of which is a version of the repository beside it."""
    folder = tmp_path_factory.mktemp("recovery")
    paths = make_parcel(folder / "store")
    repository = make_repository(folder / "repository")
    for generation in range(1, GENERATIONS):
        save(folder / "store", repository, folder / "seen.json")
        add_checkpoint(paths, generation, generation - 1)
    save(folder / "store", repository, folder / "seen.json")
    return folder


def recovered(folder: Path, out: Path, *arguments: str, secret: bytes = KEY.secret.reveal()) -> bool:
    """Runs the script as the page says, where nothing of ours can be imported; whether it succeeded."""
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/recovery.md").read_text(), re.DOTALL)
    assert not re.search(r"^(import|from) .*(soulpad|lookaside)", script, re.MULTILINE)
    program = out.with_suffix(".py")
    program.write_text(script)
    call = [sys.executable, "-I", str(program), str(folder / "repository"), str(out), *arguments]
    done = subprocess.run(call, input=secret + b"\n", cwd=out.parent, check=False, capture_output=True)
    return done.returncode == 0


@pytest.mark.parametrize("number", range(GENERATIONS))
def test_it_brings_back_every_version_byte_by_byte(backed_up: Path, tmp_path: Path, number: int) -> None:
    newest = number == GENERATIONS - 1
    assert recovered(backed_up, tmp_path / "out", *([] if newest else [str(number)]))
    checkpoint = ParcelPaths(backed_up / "store", UUID).checkpoint(number)
    assert content_of(tmp_path / "out" / UUID) == content_of(checkpoint)
    assert (tmp_path / "out" / UUID / "checkpoint.json").exists()


def test_it_reads_past_what_was_forgotten_and_with_another_slot(backed_up: Path, tmp_path: Path) -> None:
    repository = open_repository(backed_up / "repository", KEY)
    add(repository.root, wrap(repository.domain, Secret(b"another passphrase"), "passphrase", CHEAP))
    with pinned(repository.root) as pin:
        repository.forget(UUID, 0, pin)
    assert recovered(backed_up, tmp_path / "out", secret=b"another passphrase")
    assert not recovered(backed_up, tmp_path / "wrong", secret=b"no passphrase of it")
