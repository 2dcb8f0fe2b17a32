"""When `make test` need not run the tests again."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.places import ROOT
from tests import unchanged


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one test."""
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "tests/test_it.py").write_text("def test_it() -> None:\n    assert True\n")
    (root / ".gitignore").write_text("/build/\n__pycache__/\n*.egg-info/\n")
    (root / "pytest.ini").write_text("[pytest]\naddopts = -ra\n")
    monkeypatch.setattr(unchanged, "ROOT", root)
    monkeypatch.setattr(unchanged, "PASSED", tmp_path / "stamps" / "passed.json")
    return root


def run(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, bool, str]:
    """The exit code, whether pytest ran, and the last line but pytest's frame."""
    code = unchanged.main([*words, "-p", "no:cacheprovider", "--import-mode=importlib", str(root / "tests")])
    said = capsys.readouterr().out
    return code, "test session starts" in said, said.splitlines()[-1].strip("= ")


def test_what_passed_is_not_run_again_until_something_changes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, ran, last = run(project, capsys)
    assert (code, ran) == (0, True) and last.startswith("1 passed in ")
    assert run(project, capsys) == (0, False, "1 passed")
    assert run(project, capsys, unchanged.AGAIN)[:2] == (0, True)
    (project / "tests/note.txt").write_text("new")
    assert run(project, capsys)[:2] == (0, True)
    assert run(project, capsys)[:2] == (0, False)
    (project / "tests/note.txt").rename(project / "note.txt")
    assert run(project, capsys)[:2] == (0, True)
    assert run(project, capsys, "-q")[0] == 0
    assert unchanged.PASSED.read_text().count("1 passed") == 1


def test_what_failed_is_run_again(project: Path) -> None:
    codes = [1, 1, 0]
    for code in codes.copy():
        assert unchanged.main([], lambda *_, **__: codes.pop(0)) == code
    assert unchanged.main([], never) == 0
    unchanged.PASSED.write_text('{"key":')
    assert unchanged.main([], lambda *_, **__: 3) == 3


def test_what_is_changed_while_the_tests_run_is_run_again(project: Path) -> None:
    def changing(*_: object, **__: object) -> int:
        (project / "tests/other").write_text("x")
        return 0

    assert unchanged.main([], changing) == 0
    assert unchanged.main([], lambda *_, **__: 1) == 1


def never(*_: object, **__: object) -> int:
    raise AssertionError("the tests were run")


def test_products_and_caches_do_not_count_and_everything_else_does(project: Path) -> None:
    before = unchanged.key(project, [])
    for name in ("build/stick.img", "tests/__pycache__/x.pyc", "soulpad.egg-info/x", ".git/index"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    assert unchanged.key(project, []) == before
    (project / "docs/build").mkdir(parents=True)
    (project / "docs/build/page.md").write_text("x")
    assert unchanged.key(project, []) != before
    assert unchanged.key(project, ["-x"]) != unchanged.key(project, [])


def test_of_this_project_all_kinds_of_files_count() -> None:
    found = {str(path.relative_to(ROOT)) for path in unchanged.project_files(ROOT)}
    assert {"Makefile", "pyproject.toml", "tests/unit/test_unchanged.py", "hostos/initrd/init", ".ci/run"} <= found
    assert not any(name.startswith((".venv/", ".cache/", "build/", ".git/")) for name in found)
