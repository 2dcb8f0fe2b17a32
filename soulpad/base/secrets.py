"""Passphrases and keys: how they are read, made, judged, and handed to programs. Nothing here ever shows one.

A secret never stands in argv, in the environment, in a log or in a lasting file. It reaches a program on
stdin, or, where a program wants two, by a descriptor of a file that exists in memory alone (memfd).
"""

from __future__ import annotations

import ctypes
import getpass
import hmac
import math
import os
import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from secrets import choice, token_bytes
from typing import NoReturn

from soulpad.base.errors import BadInput, UsageError, WeakPassphrase

LEAST_PASSPHRASE_CHARACTERS = 20
LEAST_KEY_BYTES = 32
LARGEST_SECRET_BYTES = 8 << 20  # cryptsetup reads no larger key file
GENERATED_BITS = 80

_MOVED_LETTERS = frozenset("aqwzym")  # QWERTZ swaps y and z; AZERTY moves a, q, w, z and m
_PR_SET_DUMPABLE = 4  # linux/prctl.h


class Secret:
    """Bytes that only ``reveal`` shows: never repr, str, a format or a pickle."""

    __slots__ = ("_content",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, content: bytes) -> None:
        self._content = bytes(content)

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return self._content

    def __len__(self) -> int:
        return len(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._content, other._content)

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written anywhere")


def prompt_passphrase(prompt: str = "Passphrase: ") -> Secret:
    """Asks at the terminal, without echo. Raises UsageError where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # getpass would go on, with echo
            return Secret(getpass.getpass(prompt).encode())
    except (getpass.GetPassWarning, EOFError):
        raise UsageError(
            "there is no terminal to ask for the passphrase", "give it in a file or by a descriptor"
        ) from None


def prompt_new_passphrase(prompt: str = "New passphrase: ") -> Secret:
    """Asks for a new passphrase, twice. Raises BadInput when they differ, WeakPassphrase when it is short."""
    secret = require_strong(prompt_passphrase(prompt))
    if prompt_passphrase("The same again: ") != secret:
        raise BadInput("the two passphrases differ", "run it again and type the same passphrase twice")
    return secret


def passphrase_from_file(path: Path) -> Secret:
    """The passphrase in a file, without the one newline that an editor puts at its end. Raises BadInput."""
    return _passphrase(_file_content(path), str(path))


def passphrase_from_descriptor(descriptor: int) -> Secret:
    """The passphrase that an open descriptor gives, one last newline dropped. Raises BadInput."""
    where = f"descriptor {descriptor}"
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return _passphrase(file.read(LARGEST_SECRET_BYTES + 1), where)
    except OSError as error:
        raise BadInput(f"{where} cannot be read: {error.strerror}", "open it for reading before the call") from None


def key_from_file(path: Path) -> Secret:
    """A key file's bytes, all of them. Raises BadInput when it is too short to be a random key."""
    content = _sized(_file_content(path), str(path))
    if len(content) < LEAST_KEY_BYTES:
        raise BadInput(
            f"{path} is no key file: {len(content)} bytes",
            f"a key file holds {LEAST_KEY_BYTES} random bytes or more",
        )
    return Secret(content)


def generate_key() -> Secret:
    """64 random bytes: what a key file holds."""
    return Secret(token_bytes(64))


def generate_passphrase() -> Secret:
    """Eight words of the EFF's long word list, joined by spaces: 90.4 bits, never under 31 characters.

    Of the list's 7,776 words those are taken that are typed alike on QWERTY, QWERTZ and AZERTY (no a, q, w,
    z, y, m and no hyphen): 2,522 words, 11.30 bits each, so that 80 bits need eight. The stick's prompt may
    run before the keyboard's layout is known. A test measures the list.
    """
    words = portable_words()
    count = math.ceil(GENERATED_BITS / math.log2(len(words)))
    return require_strong(Secret(" ".join(choice(words) for _ in range(count)).encode()))


@cache
def portable_words() -> tuple[str, ...]:
    """The words of the EFF's long list that are typed alike on QWERTY, QWERTZ and AZERTY."""
    from diceware.wordlist import (
        WordList,
        get_wordlist_path,
    )  # the booted host makes no passphrases and lacks it

    words: set[str] = set(WordList(get_wordlist_path("en_eff")))
    return tuple(sorted(word for word in words if _is_portable(word)))


def require_strong(secret: Secret) -> Secret:
    """The passphrase, if it has the 20 characters that the SoulPad paper (section 3.2) asks for.

    Raises WeakPassphrase.
    """
    count = len(secret.reveal().decode(errors="replace"))
    if count < LEAST_PASSPHRASE_CHARACTERS:
        raise WeakPassphrase(
            f"the passphrase has {count} characters, at least {LEAST_PASSPHRASE_CHARACTERS} are needed",
            "take several words: who finds the stick can try passphrases for years",
        )
    return secret


@contextmanager
def as_descriptor(secret: Secret) -> Iterator[int]:
    """A descriptor that reads the secret, for a program's ``pass_fds``; gone with the block."""
    descriptor = os.memfd_create("secret")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(secret.reveal())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def descriptor_path(descriptor: int) -> str:
    """The path by which a program opens a descriptor that it inherited."""
    return f"/dev/fd/{descriptor}"


def harden_process() -> None:
    """From here on this process leaves no core dump and no other process of the user can read its memory.

    Programs that it starts leave no core dump either (the limit is inherited), but are readable again.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")


def _is_portable(word: str) -> bool:
    return word.isascii() and word.isalpha() and word.islower() and not _MOVED_LETTERS & set(word)


def _file_content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_SECRET_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", "give a file that holds the secret alone") from None


def _passphrase(content: bytes, where: str) -> Secret:
    return Secret(_sized(content.removesuffix(b"\n"), where))


def _sized(content: bytes, where: str) -> bytes:
    if not content:
        raise BadInput(f"{where} is empty", "give a file that holds the secret alone")
    if len(content) > LARGEST_SECRET_BYTES:
        raise BadInput(f"{where} is larger than 8 MiB", "give a file that holds the secret alone")
    return content
