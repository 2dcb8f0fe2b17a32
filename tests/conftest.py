"""Options of all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-inputs", type=int, metavar="N", help="inputs for each parser that is fuzzed (100)")


def pytest_configure(config: pytest.Config) -> None:
    """Tests that state no number of examples of their own take it from the profile."""
    if inputs := config.getoption("--fuzz-inputs"):
        settings.register_profile("fuzz", max_examples=inputs, deadline=None)
        settings.load_profile("fuzz")
