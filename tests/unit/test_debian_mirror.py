"""The machine's Debian mirrors, read from apt's own list of indexes."""

from __future__ import annotations

import pytest

from builder.debian.mirror import DebianMirror, mirror_of
from soulpad.base.errors import BadInput

MAIN = "http://mirror.example/debian/|bookworm|Debian|Debian|main"
SECURITY = "http://mirror.example/debian-security/|bookworm-security|Debian|Debian-Security|main"


def test_main_and_security_are_told_apart_by_their_labels() -> None:
    assert mirror_of(f"{SECURITY}\n{MAIN}\n") == DebianMirror(
        main="http://mirror.example/debian", security="http://mirror.example/debian-security"
    )


def test_other_peoples_repositories_are_passed_over() -> None:
    foreign = "https://packages.example/apt|stable|Example Inc.|Debian|main"
    assert mirror_of(f"{foreign}\n{MAIN}\n{SECURITY}\n").main == "http://mirror.example/debian"


def test_the_first_of_several_mirrors_counts() -> None:
    second = "http://far.example/debian|bookworm|Debian|Debian|main"
    assert mirror_of(f"{MAIN}\n{second}\n{SECURITY}\n").main == "http://mirror.example/debian"


def test_an_installation_disc_is_no_mirror() -> None:
    disc = "cdrom://[Debian GNU/Linux 12]/|bookworm|Debian|Debian|main"
    assert mirror_of(f"{disc}\n{MAIN}\n{SECURITY}\n").main == "http://mirror.example/debian"


def test_contrib_alone_does_not_make_a_mirror() -> None:
    with pytest.raises(BadInput):
        mirror_of(MAIN.replace("|main", "|contrib") + "\n" + SECURITY)


@pytest.mark.parametrize("targets", ["", MAIN, SECURITY, "http://mirror.example/debian/|bookworm|||main"])
def test_a_machine_without_both_is_told_what_to_run(targets: str) -> None:
    with pytest.raises(BadInput) as refused:
        mirror_of(targets)
    assert "apt-get update" in refused.value.hint
