"""Secrets: what is never shown, what is refused, what a generated passphrase is worth."""

from __future__ import annotations

import copy
import getpass
import io
import logging
import math
import os
import pickle
import sys
from pathlib import Path

import pytest

from soulpad.base import secrets
from soulpad.base.errors import BadInput, UsageError, WeakPassphrase
from soulpad.base.run import run
from soulpad.base.secrets import Secret

LONG = "correct horse battery staple"


def test_no_rendering_of_a_secret_shows_it() -> None:
    secret = Secret(b"swordfish")
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    logger.error("%s %r", secret, {"in": [secret]})
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", stream.getvalue()]
    assert not [text for text in shown if "swordfish" in text]
    assert secret.reveal() == b"swordfish"


def test_a_secret_cannot_be_pickled_or_copied_anywhere() -> None:
    for write in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            write(Secret(b"swordfish"))


def test_secrets_are_equal_when_their_bytes_are() -> None:
    assert Secret(b"one") == Secret(b"one")
    assert Secret(b"one") != Secret(b"two")
    assert Secret(b"one") != b"one"


@pytest.mark.parametrize(
    ("written", "read"),
    [(b"pass word\n", b"pass word"), (b"pass\n\n", b"pass\n"), (b"pass", b"pass"), (b" pass \n", b" pass ")],
)
def test_one_trailing_newline_is_not_part_of_a_passphrase(tmp_path: Path, written: bytes, read: bytes) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(written)
    assert secrets.passphrase_from_file(path).reveal() == read
    with path.open("rb") as file:
        assert secrets.passphrase_from_descriptor(file.fileno()).reveal() == read


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_passphrase_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "empty").write_bytes(content)
    with pytest.raises(BadInput, match="empty"):
        secrets.passphrase_from_file(tmp_path / "empty")


def test_a_missing_file_or_descriptor_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        secrets.passphrase_from_file(tmp_path / "none")
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(BadInput, match="cannot be read"):
        secrets.passphrase_from_descriptor(reader)


def test_a_key_file_is_read_to_its_last_byte(tmp_path: Path) -> None:
    content = bytes(range(31)) + b"\n"
    (tmp_path / "key").write_bytes(content)
    assert secrets.key_from_file(tmp_path / "key").reveal() == content


def test_a_key_file_too_short_to_be_random_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"password\n")
    with pytest.raises(BadInput, match="9 bytes"):
        secrets.key_from_file(tmp_path / "key")


def test_a_passphrase_under_twenty_characters_is_weak() -> None:
    with pytest.raises(WeakPassphrase) as caught:
        secrets.require_strong(Secret(b"nineteen characters"))
    assert caught.value.hint
    assert secrets.require_strong(Secret(b"twenty characters ok")).reveal() == b"twenty characters ok"


def test_characters_are_counted_not_bytes() -> None:
    with pytest.raises(WeakPassphrase):
        secrets.require_strong(Secret(("ä" * 19).encode()))


def answer(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    given = iter(answers)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(given))


def test_a_new_passphrase_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, LONG, LONG)
    assert secrets.prompt_new_passphrase().reveal() == LONG.encode()
    answer(monkeypatch, LONG, LONG + "x")
    with pytest.raises(BadInput, match="differ"):
        secrets.prompt_new_passphrase()


def test_without_a_terminal_nothing_is_asked_with_echo() -> None:
    script = (
        "from soulpad.base.errors import UsageError\n"
        "from soulpad.base.secrets import prompt_passphrase\n"
        "try: prompt_passphrase()\n"
        "except UsageError as error: print(error.message)\n"
    )
    said = run(["setsid", "--wait", sys.executable, "-c", script], stdin=b"swordfish\n")
    assert "no terminal" in said.stdout
    assert UsageError.exit_code == 2


def test_generated_passphrases_hold_eighty_bits_and_words_typed_alike_everywhere() -> None:
    words = secrets.portable_words()
    assert len(words) == 2522  # the docstring of generate_passphrase states it
    assert not set("".join(words)) - set("bcdefghijklnoprstuvx")
    generated = secrets.generate_passphrase().reveal().decode().split(" ")
    assert set(generated) <= set(words)
    assert len(generated) == 8
    assert len(generated) * math.log2(len(words)) >= 80
    assert sum(sorted(len(word) for word in words)[:8]) + 7 >= 20


def test_two_generated_passphrases_differ() -> None:
    assert secrets.generate_passphrase() != secrets.generate_passphrase()
    assert secrets.generate_key() != secrets.generate_key()


def test_a_program_reads_two_secrets_by_descriptors_that_are_gone_afterwards() -> None:
    with secrets.as_descriptor(Secret(b"one\0")) as one, secrets.as_descriptor(Secret(b"two\n")) as two:
        argv = ["cat", secrets.descriptor_path(one), secrets.descriptor_path(two)]
        assert run(argv, pass_fds=[one, two]).stdout == "one\0two\n"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(one)


def test_a_hardened_process_dumps_no_core_and_nor_do_its_programs() -> None:
    script = (
        "import ctypes, subprocess\n"
        "from soulpad.base.secrets import harden_process\n"
        "harden_process()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)\n"  # PR_GET_DUMPABLE
        "subprocess.run(['sh', '-c', 'ulimit -c'])\n"
    )
    assert run([sys.executable, "-c", script]).stdout.split() == ["0", "0"]
