"""LUKS2 headers: what is asked of cryptsetup, and what its metadata are understood to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.store import luks
from builder.store.luks import KeySlot, LuksSpec
from soulpad.base.errors import StoreDamaged, WeakPassphrase
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB
from soulpad.store.stick import PAYLOAD_OFFSET_BYTES

HEADER = Path("header.img")


def option(argv: list[str], name: str) -> str:
    return argv[argv.index(name) + 1]


def test_the_passphrase_costs_what_the_spec_says_on_every_pc() -> None:
    argv = luks.format_argv(HEADER, LuksSpec(65536, 5, 1), "/dev/fd/9")
    assert option(argv, "--pbkdf") == "argon2id"
    assert option(argv, "--pbkdf-memory") == "65536"
    assert option(argv, "--pbkdf-force-iterations") == "5"
    assert option(argv, "--pbkdf-parallel") == "1"


def test_a_pc_of_two_gib_can_unlock_what_is_made_by_default() -> None:
    argv = luks.format_argv(HEADER, LuksSpec(), "/dev/fd/9")
    assert int(option(argv, "--pbkdf-memory")) * 1024 <= 256 * MIB


def test_the_payload_begins_where_the_stick_says_in_sectors_of_4096_bytes() -> None:
    argv = luks.format_argv(HEADER, LuksSpec(), "/dev/fd/9")
    assert int(option(argv, "--offset")) * 512 == PAYLOAD_OFFSET_BYTES
    assert option(argv, "--sector-size") == "4096"
    assert option(argv, "--cipher") == "aes-xts-plain64"
    assert option(argv, "--key-size") == "512"


def test_secrets_are_named_by_descriptors_and_stdin_alone() -> None:
    argv = luks.format_argv(HEADER, LuksSpec(), "/dev/fd/9")
    assert option(argv, "--key-file") == "-"
    assert option(argv, "--volume-key-file") == "/dev/fd/9"
    assert luks.add_key_file_argv(HEADER, "/dev/fd/9", "/dev/fd/10")[-2:] == ["header.img", "/dev/fd/10"]


def test_a_short_key_file_gets_no_fast_slot() -> None:
    with pytest.raises(WeakPassphrase, match="12 bytes"):
        luks.add_key_file(HEADER, Secret(bytes(64)), Secret(b"passphrase12"))


def metadata() -> dict[str, Any]:
    argon = {"type": "argon2id", "time": 4, "memory": 65536, "cpus": 2}
    return {
        "keyslots": {
            "0": {"key_size": 64, "kdf": argon},
            "1": {"key_size": 64, "kdf": {"type": "pbkdf2", "iterations": 1000}, "priority": 2},
            "5": {"key_size": 64, "kdf": argon, "priority": 1},
        },
        "tokens": {
            "0": json.loads(luks.slot_token(0, luks.OWNER_PASSPHRASE)),
            "1": json.loads(luks.slot_token(1, luks.KEY_FILE)),
            "2": {"type": "systemd-tpm2", "keyslots": ["5"]},
        },
        "segments": {"0": {"offset": "16777216", "sector_size": 4096, "encryption": "aes-xts-plain64"}},
    }


def test_slots_are_told_apart_by_our_tokens_and_no_others() -> None:
    header = luks.parse_metadata("uuid", json.dumps(metadata()))
    assert header.slots == (
        KeySlot(0, "argon2id", 4, 65536, 2, False, "owner-passphrase"),
        KeySlot(1, "pbkdf2", 1000, 0, 0, True, "key-file"),
        KeySlot(5, "argon2id", 4, 65536, 2, False, None),
    )


@pytest.mark.parametrize("missing", ["keyslots", "tokens", "segments"])
def test_metadata_with_a_part_missing_are_said_to_be_damaged(missing: str) -> None:
    fields = metadata()
    del fields[missing]
    with pytest.raises(StoreDamaged):
        luks.parse_metadata("uuid", json.dumps(fields))


def test_metadata_that_are_no_json_are_said_to_be_damaged() -> None:
    with pytest.raises(StoreDamaged):
        luks.parse_metadata("uuid", "{")
