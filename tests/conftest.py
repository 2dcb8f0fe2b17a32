"""Options of all tests."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-inputs", type=int, metavar="N", help="inputs for each parser that is fuzzed (100)")


def pytest_configure(config: pytest.Config) -> None:
    """No example has a deadline: machines are as fast as they are. Examples are the same ones in each run, so that it
    is the change that breaks a test, unless others are asked for; tests that state no number take it from there."""
    settings.register_profile("patient", deadline=None, derandomize=True)
    settings.load_profile("patient")
    if inputs := config.getoption("--fuzz-inputs"):
        settings.register_profile("fuzz", max_examples=inputs, derandomize=False)
        settings.load_profile("fuzz")
    # A job in the background of a shell without job control ignores Ctrl-C, and so would all that tests send it to.
    signal.signal(signal.SIGINT, signal.default_int_handler)
