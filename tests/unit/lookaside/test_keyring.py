"""Key slots: any of them opens, none opens with anything else, and neither a cut nor damage locks anybody out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.domain import Domain
from lookaside.errors import DamagedKeySlot, NoRepository
from lookaside.framing import check_of
from lookaside.keyring import Key, add, found_repository, open_repository, remove, slots, unlock
from lookaside.keyslots import MOST_MEMORY_KIB, KeySlot, Stretching, compact, decode, unwrap, wrap
from lookaside.repository import KEYS, Repository
from soulpad.base.errors import BadInput, UnknownFormat, WrongPassphrase
from soulpad.base.secrets import Secret
from tests.unit.power import PowerCut, cut_off, power, steps_of

from .shelves import DOMAIN

CHEAP = Stretching(memory_kib=64, passes=1, lanes=1)
MINE, OTHER = Key(Secret(b"a passphrase of many words")), Key(Secret(b"another passphrase of many words"))
KEY_FILE = Key(Secret(bytes(range(64))), "key-file")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return found_repository(tmp_path / "repository", MINE, CHEAP)


def only_file(root: Path) -> Path:
    (path,) = (root / KEYS).iterdir()
    return path


def rewrite(path: Path, **changes: Any) -> None:
    """The slot with other fields and a check that fits."""
    fields = json.loads(path.read_bytes()) | changes
    fields.pop("check")
    path.write_text(json.dumps(fields | {"check": check_of(compact(fields)).hex()}))


def test_every_slot_gives_the_same_key_and_nothing_else_opens(repository: Repository) -> None:
    for key in (OTHER, KEY_FILE):
        add(repository.root, wrap(repository.domain, key.secret, key.kind, CHEAP))
    for key in (MINE, OTHER, KEY_FILE):
        assert open_repository(repository.root, key).domain.key == repository.domain.key
    for key in (Key(Secret(b"a passphrase of many words ")), Key(MINE.secret, "key-file"), Key(KEY_FILE.secret)):
        with pytest.raises(WrongPassphrase):
            unlock(repository.root, key)


def test_the_secrets_are_nowhere_in_the_repository(repository: Repository) -> None:
    content = only_file(repository.root).read_bytes()
    for secret in (MINE.secret.reveal(), repository.domain.key.reveal()):
        assert secret not in content and secret.hex().encode() not in content


def test_a_slot_is_removed_and_the_last_one_is_not(repository: Repository) -> None:
    first = only_file(repository.root).stem
    with pytest.raises(BadInput, match="last"):
        remove(repository.root, first, repository.domain.public_id)
    second = add(repository.root, wrap(repository.domain, OTHER.secret, "passphrase", CHEAP))
    remove(repository.root, first, repository.domain.public_id)
    with pytest.raises(WrongPassphrase):
        unlock(repository.root, MINE)
    with pytest.raises(BadInput, match="no key slot"):
        remove(repository.root, first, repository.domain.public_id)
    with pytest.raises(BadInput, match="last"):
        remove(repository.root, second, repository.domain.public_id)
    assert unlock(repository.root, OTHER).key == repository.domain.key


def test_a_damaged_or_foreign_slot_does_not_count_as_another(repository: Repository) -> None:
    first = only_file(repository.root).stem
    (repository.root / KEYS / "00.json").write_text("{")
    add(repository.root, wrap(Domain.new(), OTHER.secret, "passphrase", CHEAP))
    with pytest.raises(BadInput, match="last"):
        remove(repository.root, first, repository.domain.public_id)


def test_of_two_who_remove_the_last_two_at_once_nobody_is_locked_out(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = only_file(repository.root)
    second = add(repository.root, wrap(repository.domain, OTHER.secret, "passphrase", CHEAP))
    replace = Path.replace

    def other_is_quicker(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        first.unlink()
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", other_is_quicker)
    with pytest.raises(BadInput, match="last"):
        remove(repository.root, second, repository.domain.public_id)
    assert unlock(repository.root, OTHER).key == repository.domain.key


def test_a_cut_while_a_slot_is_added_or_removed_leaves_it_there_or_not(tmp_path: Path) -> None:
    def act(root: Path) -> None:
        add(root, wrap(DOMAIN, KEY_FILE.secret, "key-file"))
        remove(root, "first", DOMAIN.public_id)

    def made(root: Path) -> Path:
        Repository.create(root, DOMAIN)
        (root / KEYS).mkdir()
        (root / KEYS / "first.json").write_bytes(wrap(DOMAIN, MINE.secret, "passphrase", CHEAP).encode())
        return root

    steps = steps_of(lambda: act(made(tmp_path / "rehearsed")))
    for step in range(steps):
        root = made(tmp_path / str(step))
        cut_off(lambda root=root: act(root), step)  # type: ignore[misc]
        usable = [slot for slot in slots(root, DOMAIN.public_id).values() if isinstance(slot, KeySlot)]
        assert usable and len(usable) == len(list((root / KEYS).iterdir()))


def test_cut_off_anywhere_a_founding_can_be_repeated_and_never_leaves_a_repository_without_key(tmp_path: Path) -> None:
    steps = steps_of(lambda: found_repository(tmp_path / "rehearsed", MINE, CHEAP))
    assert steps > 6
    for step in range(steps):
        root = tmp_path / str(step)
        with power(step), pytest.raises(PowerCut):
            found_repository(root, MINE, CHEAP)
        try:
            unlock(root, MINE)
        except NoRepository:
            found_repository(root, MINE, CHEAP)
        assert open_repository(root, MINE).parcels() == []


def test_a_repository_is_not_made_where_something_is(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(NoRepository, match="already"):
        found_repository(repository.root, MINE, CHEAP)
    (tmp_path / "file").touch()
    (tmp_path / "full" / "packs" / "ab").mkdir(parents=True)
    for name in ("file", "full", "."):
        with pytest.raises(NoRepository):
            found_repository(tmp_path / name, MINE, CHEAP)


def test_the_slot_of_whoever_lost_the_race_to_found_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "repository"
    create = Repository.create.__func__  # type: ignore[attr-defined]

    def other_is_quicker(kind: type[Repository], path: Path, domain: Domain) -> Repository:
        create(kind, path, DOMAIN)
        add(path, wrap(DOMAIN, OTHER.secret, "passphrase", CHEAP))
        made: Repository = create(kind, path, domain)
        return made

    monkeypatch.setattr(Repository, "create", classmethod(other_is_quicker))
    with pytest.raises(NoRepository):
        found_repository(root, MINE, CHEAP)
    assert unlock(root, OTHER).key == DOMAIN.key
    with pytest.raises(WrongPassphrase):
        unlock(root, MINE)


def test_every_altered_byte_and_every_cut_of_a_slot_is_noticed() -> None:
    content = wrap(DOMAIN, MINE.secret, "passphrase", CHEAP).encode()
    whole = decode(content)
    for at in range(len(content)):
        altered = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        try:
            assert decode(altered) == whole  # a blank between the fields that is another blank now
        except (DamagedKeySlot, UnknownFormat):
            continue
    for end in range(len(content) - 1):
        with pytest.raises(DamagedKeySlot):
            decode(content[:end])


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b"null", b"\xff", b'{"check": 1}', b"[" * 100_000, b" " * 70_000, b'{"format": 1}']
)
def test_what_is_no_slot_is_said_to_be_damaged(content: bytes) -> None:
    with pytest.raises(DamagedKeySlot):
        decode(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@given(st.data())
def test_whatever_stands_in_a_slot_it_is_one_or_said_to_be_none(data: st.DataObject) -> None:
    fields: dict[str, Any] = json.loads(wrap(DOMAIN, KEY_FILE.secret, "key-file").encode())
    fields.pop("check")
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(JSON)
    content = json.dumps(fields | {"check": check_of(compact(fields)).hex()}).encode()
    try:
        assert decode(content).wrapped
    except (DamagedKeySlot, UnknownFormat):
        return


@given(st.binary())
def test_any_bytes_are_a_slot_or_said_to_be_none(content: bytes) -> None:
    with pytest.raises((DamagedKeySlot, UnknownFormat)):
        decode(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"argon2id": {"memory_kib": MOST_MEMORY_KIB + 1, "passes": 1, "lanes": 1}},
        {"argon2id": {"memory_kib": 64, "passes": 10**9, "lanes": 1}},
        {"argon2id": {"memory_kib": 64, "passes": 1, "lanes": 64}},
        {"argon2id": {"memory_kib": -1, "passes": 1, "lanes": 1}},
        {"argon2id": {"memory_kib": 64}},
        {"argon2id": {"memory_kib": float("inf"), "passes": 1, "lanes": 1}},
        {"argon2id": {"memory_kib": "64", "passes": True, "lanes": 1}},
        {"argon2id": None},
        {"kind": "key-file"},
        {"kind": "a wink"},
        {"salt": "00"},
        {"domain": "00"},
        {"wrapped": "00" * 59},
        {"wrapped": "no hex"},
    ],
)
def test_a_slot_that_asks_for_too_much_or_makes_no_sense_is_refused(
    repository: Repository, changes: dict[str, Any]
) -> None:
    rewrite(only_file(repository.root), **changes)
    with pytest.raises(DamagedKeySlot):
        unlock(repository.root, MINE)


def test_a_slot_whose_cost_was_lowered_by_somebody_else_opens_no_more(repository: Repository) -> None:
    rewrite(only_file(repository.root), argon2id={"memory_kib": 32, "passes": 1, "lanes": 1})
    with pytest.raises(WrongPassphrase):
        unlock(repository.root, MINE)


def test_a_slot_of_a_later_format_and_no_slot_at_all_are_said(repository: Repository) -> None:
    path = only_file(repository.root)
    rewrite(path, format="soulpad-key/9")
    with pytest.raises(UnknownFormat, match="soulpad-key/9"):
        unlock(repository.root, MINE)
    path.unlink()
    with pytest.raises(DamagedKeySlot, match="no key slot"):
        unlock(repository.root, MINE)


def test_one_damaged_slot_does_not_hinder_another(repository: Repository) -> None:
    only_file(repository.root).write_text("{")
    add(repository.root, wrap(repository.domain, OTHER.secret, "passphrase", CHEAP))
    assert unlock(repository.root, OTHER).key == repository.domain.key


def test_a_slot_with_another_domains_key_gives_none(repository: Repository) -> None:
    slot = wrap(repository.domain, KEY_FILE.secret, "key-file")
    assert unwrap(slot, MINE.secret) is None
    assert unwrap(slot, KEY_FILE.secret)
