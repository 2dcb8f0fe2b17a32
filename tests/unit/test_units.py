"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soulpad.base.errors import BadInput
from soulpad.base.units import GIB, KIB, MIB, format_bytes, parse_bytes, parse_minutes, round_up


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("8GiB", 8 * GIB),
        ("8G", 8 * GIB),
        ("8gib", 8 * GIB),
        ("16GB", 16 * 10**9),
        ("1.5 MiB", MIB + MIB // 2),
        (" 4k ", 4 * KIB),
        ("2TB", 2 * 10**12),
        ("0.5KiB", 512),
    ],
)
def test_a_size_is_read_as_people_mean_it(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1", "1e9", "1,5G", "8 G i B", "8PiB", "0x10", "1.", ".5", "8GiB!", "inf"]
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match="is not a size") as refused:
        parse_bytes(text)
    assert "8GiB" in refused.value.hint


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_a_refusal(text: str) -> None:
    try:
        assert parse_bytes(text) >= 0
    except BadInput as error:
        assert error.hint


@given(st.integers(0, 1 << 50), st.sampled_from(["", "B"]))
def test_a_plain_number_of_bytes_is_itself(count: int, unit: str) -> None:
    assert parse_bytes(f"{count}{unit}") == count


@given(st.integers(0, (999 << 40)))
@example(int(999.7 * KIB))
@example(1023 * MIB + 700 * KIB)
def test_a_formatted_size_is_read_back_within_its_three_digits(count: int) -> None:
    text = format_bytes(count).replace(" bytes", "")
    assert "e" not in text
    read = parse_bytes(text)
    assert abs(read - count) <= count * 0.0051 + 1  # a part of a byte is dropped


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1000 * KIB - 1, "1000 KiB"),
        (1010 * KIB, "1010 KiB"),
        (MIB - 1, "1 MiB"),
        (8 * GIB, "8 GiB"),
        (3 << 40, "3 TiB"),
    ],
)
def test_a_size_is_shown_with_its_unit(count: int, text: str) -> None:
    assert format_bytes(count) == text


@given(st.integers(0, 1 << 60), st.integers(1, 1 << 30))
def test_rounding_up_gives_the_least_multiple_that_is_not_below(count: int, multiple: int) -> None:
    rounded = round_up(count, multiple)
    assert rounded % multiple == 0 and count <= rounded < count + multiple


@pytest.mark.parametrize(("text", "minutes"), [("1min", 1), ("30min", 30), (" 2 h ", 120), ("168h", 10080)])
def test_a_time_is_read_in_minutes(text: str, minutes: int) -> None:
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize("text", ["", "30", "0min", "0h", "-5min", "1.5h", "30 minutes", "10s", "169h", "9" * 40 + "h"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match="is not a time") as refused:
        parse_minutes(text)
    assert "30min" in refused.value.hint
