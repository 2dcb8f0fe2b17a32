"""Keys of cached products: unchanged means the same key, anything else another."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.keys import KEY_DIGITS, files_below, key_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b" / "b.sh").write_text("b")
    return tmp_path


def key(tree: Path, *words: str) -> str:
    return key_of(words, files_below(tree))


def test_the_same_files_and_words_give_the_same_key(tree: Path) -> None:
    assert key(tree, "x") == key(tree, "x")
    assert len(key(tree)) == KEY_DIGITS and int(key(tree), 16) >= 0


def test_a_copy_elsewhere_has_the_same_key(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    (other / "b").mkdir()
    for name in ("a.txt", "b/b.sh"):
        (other / name).write_bytes((tree / name).read_bytes())
    assert key(other) == key(tree)


def test_any_change_gives_another_key(tree: Path) -> None:
    keys = [key(tree), key(tree, "x"), key(tree, "y"), key(tree, "x", "y"), key(tree, "xy")]
    (tree / "a.txt").write_text("A")
    keys.append(key(tree))
    (tree / "a.txt").chmod(0o755)
    keys.append(key(tree))
    (tree / "a.txt").rename(tree / "c.txt")
    keys.append(key(tree))
    (tree / "d.txt").touch()
    keys.append(key(tree))
    assert len(set(keys)) == len(keys)


def test_times_and_byte_code_do_not_matter(tree: Path) -> None:
    before = key(tree)
    (tree / "a.txt").touch()
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "a.pyc").write_bytes(b"code")
    assert key(tree) == before


def test_contents_do_not_run_into_each_other(tmp_path: Path) -> None:
    first, second = tmp_path / "1" / "f", tmp_path / "2" / "f"
    for path in (first, second):
        path.parent.mkdir()
    first.write_bytes(b"ab")
    second.write_bytes(b"c")
    joined = key_of([], [first, second])
    first.write_bytes(b"a")
    second.write_bytes(b"bc")
    assert key_of([], [first, second]) != joined


def test_files_are_listed_in_one_order(tree: Path) -> None:
    assert [path.name for path in files_below(tree)] == ["a.txt", "b.sh"]
