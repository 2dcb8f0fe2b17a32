"""LUKS2 headers made and read with the real cryptsetup."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from builder.store import luks
from builder.store.luks import LuksSpec
from soulpad.base.errors import BadImage, ProgramFailed, StoreDamaged, WrongPassphrase
from soulpad.base.run import run
from soulpad.base.secrets import Secret, generate_key, generate_passphrase
from soulpad.store.stick import PAYLOAD_OFFSET_BYTES

pytestmark = pytest.mark.component

CHEAP = LuksSpec(argon2_memory_kib=1024, argon2_iterations=4, argon2_parallel=1)
PASSPHRASE = Secret(b"spaces and a\nnewline \xc3\xa4")
KEY = generate_key()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Secret]:
    """A header with both slots, and its volume key."""
    header = tmp_path_factory.mktemp("luks") / "header.img"
    return header, luks.make_header(header, PASSPHRASE, KEY, CHEAP)


def test_both_secrets_give_the_volume_key(made: tuple[Path, Secret]) -> None:
    header, volume_key = made
    assert len(volume_key) == 64
    assert luks.volume_key(header, PASSPHRASE) == volume_key
    assert luks.volume_key(header, KEY) == volume_key


@pytest.mark.parametrize("secret", [Secret(b"spaces and a"), Secret(PASSPHRASE.reveal() + b"\n"), Secret(b""), KEY])
def test_any_other_secret_is_a_wrong_passphrase(tmp_path: Path, secret: Secret) -> None:
    luks.make_header(tmp_path / "header.img", PASSPHRASE, None, CHEAP)
    with pytest.raises(WrongPassphrase):
        luks.volume_key(tmp_path / "header.img", secret)


def test_the_header_tells_what_each_slot_is_and_costs(made: tuple[Path, Secret]) -> None:
    header = luks.read_header(made[0])
    assert header.payload_offset_bytes == PAYLOAD_OFFSET_BYTES
    assert (header.cipher, header.sector_bytes, header.volume_key_bytes) == ("aes-xts-plain64", 4096, 64)
    owner, key_file = header.slots
    assert (owner.role, owner.kdf, owner.memory_kib, owner.iterations) == ("owner-passphrase", "argon2id", 1024, 4)
    assert (key_file.role, key_file.kdf, key_file.iterations) == ("key-file", "pbkdf2", 1000)


def test_a_key_file_is_tried_before_the_slow_passphrase(made: tuple[Path, Secret]) -> None:
    assert [slot.preferred for slot in luks.read_header(made[0]).slots] == [False, True]


def test_two_headers_share_neither_key_nor_id(tmp_path: Path, made: tuple[Path, Secret]) -> None:
    other = luks.make_header(tmp_path / "header.img", PASSPHRASE, None, CHEAP)
    assert other != made[1]
    assert luks.read_header(tmp_path / "header.img").uuid != luks.read_header(made[0]).uuid


def test_a_header_is_read_at_an_offset_and_left_as_it_is(tmp_path: Path, made: tuple[Path, Secret]) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"\xff" * 1048576 + made[0].read_bytes())
    before = image.read_bytes()
    assert luks.read_header(image, 1048576) == luks.read_header(made[0])
    assert image.read_bytes() == before


def test_no_header_a_short_one_and_a_damaged_one_are_told_apart(tmp_path: Path, made: tuple[Path, Secret]) -> None:
    image = tmp_path / "image"
    image.write_bytes(os.urandom(PAYLOAD_OFFSET_BYTES))
    with pytest.raises(BadImage, match="no encrypted store"):
        luks.read_header(image)
    image.write_bytes(made[0].read_bytes()[: PAYLOAD_OFFSET_BYTES // 2])
    with pytest.raises(BadImage, match="ends inside"):
        luks.read_header(image)
    scribble(made[0], image, 200, 16384 + 200)
    with pytest.raises(StoreDamaged, match="both of its copies"):
        luks.read_header(image)


@pytest.mark.parametrize("position", [0, 200, 16384, 16384 + 200])
def test_one_damaged_copy_of_the_metadata_is_survived(tmp_path: Path, made: tuple[Path, Secret], position: int) -> None:
    image = tmp_path / "image"
    scribble(made[0], image, position)
    assert luks.read_header(image) == luks.read_header(made[0])
    luks.copy_header(image, 0, tmp_path / "copy")
    assert luks.volume_key(tmp_path / "copy", PASSPHRASE) == made[1]


def scribble(header: Path, image: Path, *positions: int) -> None:
    """Copies a header and overwrites a part of its metadata."""
    shutil.copy(header, image)
    with image.open("r+b") as file:
        for position in positions:
            file.seek(position)
            file.write(os.urandom(4096))


def test_no_secret_is_logged_or_lies_in_the_header(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    passphrase, key = generate_passphrase(), generate_key()
    with caplog.at_level("DEBUG"):
        volume_key = luks.make_header(tmp_path / "header.img", passphrase, key, CHEAP)
        luks.volume_key(tmp_path / "header.img", key)
    assert "luksFormat" in caplog.text
    content = (tmp_path / "header.img").read_bytes()
    for secret in (passphrase.reveal(), key.reveal(), volume_key.reveal()):
        assert secret not in content
        assert secret.hex() not in caplog.text
        assert repr(secret)[2:-1] not in caplog.text


def test_a_header_is_never_made_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "header.img").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        luks.make_header(tmp_path / "header.img", PASSPHRASE, None, CHEAP)
    assert (tmp_path / "header.img").read_bytes() == b"precious"


def test_cryptsetups_own_check_takes_both_secrets(tmp_path: Path, made: tuple[Path, Secret]) -> None:
    test = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(made[0])]
    for secret in (PASSPHRASE, KEY):
        run(test, stdin=secret.reveal())
    with pytest.raises(ProgramFailed, match="No key available"):
        run(test, stdin=b"something else altogether")
