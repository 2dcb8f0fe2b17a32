"""The one place that runs outside programs."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest

from soulpad.base.errors import MissingProgram, NoSpace, ProgramFailed
from soulpad.base.run import environment, failure, run, start

SECRET = b"correct horse battery staple"


def test_what_a_program_says_is_given_back() -> None:
    result = run(["sh", "-c", "echo out; echo err >&2"])
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_words_are_never_read_by_a_shell() -> None:
    words = ["$HOME", "a b", "; exit 1", "`id`", "*", ""]
    assert run(["printf", "%s\\n", *words]).stdout.splitlines() == words


def test_a_failure_is_one_line_with_the_last_complaint() -> None:
    with pytest.raises(ProgramFailed) as failed:
        run(["sh", "-c", "echo first >&2; echo the reason >&2; echo >&2; exit 7"], hint="do this")
    error = failed.value
    assert (error.message, error.hint) == ("sh ended with 7: the reason", "do this")
    assert (error.code, error.complaint, error.exit_code) == (7, "the reason", 41)


def test_a_silent_failure_is_said_to_be_one() -> None:
    with pytest.raises(ProgramFailed, match="false ended with 1: it said nothing"):
        run(["/bin/false"])


def test_codes_that_mean_no_failure_can_be_named() -> None:
    assert run(["sh", "-c", "echo fine; exit 3"], ok_codes=(0, 3)).stdout == "fine\n"
    with pytest.raises(ProgramFailed):
        run(["true"], ok_codes=(3,))


def test_a_program_ended_by_a_signal_has_failed() -> None:
    with pytest.raises(ProgramFailed) as failed:
        run(["sh", "-c", "kill -KILL $$"])
    assert failed.value.code == -signal.SIGKILL


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingProgram, match="soulpad-no-such-program is not installed") as missing:
        run(["soulpad-no-such-program"])
    assert "soulpad doctor" in missing.value.hint
    with pytest.raises(MissingProgram):
        start(["soulpad-no-such-program"])


def test_a_full_disk_is_told_from_other_failures() -> None:
    full = failure(["/usr/bin/dd"], 1, "dd: error writing 'x': No space left on device\n1+0 records in\n")
    assert isinstance(full, NoSpace) and full.message.startswith("dd:")
    assert isinstance(failure(["dd"], 1, "no such luck"), ProgramFailed)


def test_a_secret_reaches_the_program_and_not_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert run(["cat"], stdin=SECRET).stdout.encode() == SECRET
        with pytest.raises(ProgramFailed) as failed:
            run(["sh", "-c", "cat >/dev/null; exit 1"], stdin=SECRET)
    assert "cat" in caplog.text
    assert SECRET.decode() not in caplog.text + failed.value.message


def test_a_logged_command_can_be_pasted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="soulpad.run"):
        run(["echo", "a b", "it's"])
    assert caplog.messages == ["""echo 'a b' 'it'"'"'s'"""]


def test_without_input_a_program_reads_nothing() -> None:
    assert run(["cat"]).stdout == ""


def test_files_can_be_fed_and_filled(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"bytes")
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        assert run(["cat"], stdin=source, stdout=sink).stdout == ""
    assert (tmp_path / "out").read_bytes() == b"bytes"


def test_an_inherited_descriptor_is_the_only_one_that_is_passed(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        named = run(["sh", "-c", "ls /proc/$$/fd"], pass_fds=[read]).stdout.split()
        assert str(read) in named and str(write) not in named
    finally:
        os.close(read)
        os.close(write)


def test_a_program_runs_in_the_folder_and_environment_given(tmp_path: Path) -> None:
    said = run(["sh", "-c", "pwd; echo $SOULPAD_WORD"], cwd=tmp_path, env={"SOULPAD_WORD": "here"}).stdout
    assert said.splitlines() == [str(tmp_path), "here"]
    assert "SOULPAD_WORD" not in os.environ


def test_programs_of_the_administrator_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert environment()["PATH"].split(":") == ["/usr/bin", "/usr/sbin", "/sbin"]
    monkeypatch.delenv("PATH")
    assert "/usr/bin" in environment()["PATH"].split(":")
    assert environment({"PATH": "/only"})["PATH"] == "/only"


def test_words_that_are_not_utf8_do_not_hide_the_result() -> None:
    assert run(["printf", "a\\377b"]).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_a_started_program_is_out_of_reach_of_ctrl_c() -> None:
    process = start(["sleep", "60"])
    try:
        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    finally:
        process.kill()
        process.wait()
