"""The pages say what the code does: fields, exit codes, commands, reports, links."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.guest.recipe import GuestRecipe, read_guest_recipe
from builder.host.recipe import HostRecipe
from builder.pc.profile import Display, Firmware, InternalDisk, Nic, PcProfile, Usb, find_profile, known_profiles
from builder.places import IMAGES, ROOT
from builder.store.luks import slot_token
from demo.evidence import report_of
from demo.stations import Stay
from soulpad.cli.main import COMMANDS, parser_for
from soulpad.session.live import write_record
from soulpad.session.parcels import LiveRecord
from soulpad.session.stages import StageClock, append_to_log
from soulpad.store.checkpoint import CheckpointManifest, FileIdentity, Fingerprint, SuspendedState
from soulpad.store.cpuclass import CLASSES
from soulpad.store.parcel import Disk, Machine, ParcelDescription
from soulpad.store.stick import ROLES, ParcelRequirement, StickDescription
from soulpad.store.workingset import WorkingSet

DOCS = ROOT / "docs"
FORMATS = DOCS / "formats"
NOT_OURS = {".venv", ".cache", "build", ".git", ".mypy_cache", ".ruff_cache", ".hypothesis"}
CODE = ("soulpad", "builder", "lookaside", "demo", "benchmarks", "hostos/programs")
MACHINE = Machine(memory_mib=512, disks=(Disk("disk-0.img", 512),))


def page(path: str) -> str:
    return (DOCS / path).read_text()


def rows(text: str, columns: int) -> list[list[str]]:
    """The cells of a page's table rows that have at least so many columns, without the heads' rulers."""
    lines = (line for line in text.splitlines() if line.startswith("| "))
    cells = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    return [row for row in cells if len(row) >= columns]


def named(text: str) -> set[str]:
    """What a page's tables describe: the words in code quotes of their first cells."""
    return {word for row in rows(text, 2) for word in re.findall(r"`([^`]+)`", row[0])}


def section(text: str, heading: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    level = heading.split(" ", 1)[0]
    _, found, after = text.partition(f"{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


# --- formats


def field_paths(value: object, prefix: str = "") -> Iterator[str]:
    """Every field of a JSON value as the pages write it: ``machine.disks[].file``."""
    if isinstance(value, dict):
        for name, content in value.items():
            yield f"{prefix}{name}"
            yield from field_paths(content, f"{prefix}{name}.")
    elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        yield from field_paths(value[0], f"{prefix.removesuffix('.')}[].")


def stick_fields() -> dict[str, Any]:
    requirement = ParcelRequirement("", "", 512, "kvm", "QEMU 10.0.13")
    return dict(json.loads(StickDescription("0badcafe", "", "us", (requirement,)).encode()))


def parcel_fields() -> dict[str, Any]:
    return dict(json.loads(ParcelDescription("work", MACHINE, suspend_when_idle_minutes=30).encode()))


def checkpoint_fields() -> dict[str, Any]:
    """The machine's own fields stand on the page once, at parcel.json."""
    state = SuspendedState(512, 512, "", "kvm", "", MACHINE)
    identity = (FileIdentity("disk-0.img", 1, 1),)
    history = (Fingerprint("0" * 16),)
    fields = dict(json.loads(CheckpointManifest(1, 0, 0, (512,), state, "suspend", identity, history).encode()))
    fields["suspended"]["machine"] = None
    return fields


def working_set_fields() -> dict[str, Any]:
    return dict(json.loads(WorkingSet(4096, ()).encode()))


def live_fields(folder: Path) -> dict[str, Any]:
    write_record(folder, LiveRecord(0, True, 0))
    return dict(json.loads((folder / "session.json").read_bytes()))


def log_fields(folder: Path) -> dict[str, Any]:
    append_to_log(folder / "log", StageClock("resume"), "", 0)
    return dict(json.loads((folder / "log").read_bytes()))


@pytest.mark.parametrize(
    ("path", "heading", "made"),
    [
        ("formats/stick.md", "## soulpad.json", lambda _: stick_fields()),
        ("formats/store.md", "### parcel.json", lambda _: parcel_fields()),
        ("formats/store.md", "### checkpoint.json", lambda _: checkpoint_fields()),
        ("formats/store.md", "### working-set", lambda _: working_set_fields()),
        ("formats/store.md", "### live/session.json", live_fields),
        ("formats/store.md", "### log/stages.jsonl", log_fields),
    ],
)
def test_a_format_page_describes_exactly_the_fields_that_are_written(
    path: str, heading: str, made: Any, tmp_path: Path
) -> None:
    assert named(section(page(path), heading)) == set(field_paths(made(tmp_path)))


def test_the_page_of_the_store_describes_the_tokens_of_key_slots() -> None:
    table = section(page("formats/store.md"), "## LUKS2")
    assert set(json.loads(slot_token(0, "owner-passphrase"))) <= named(table)


def test_the_page_of_the_stick_names_every_partition() -> None:
    assert set(ROLES) == named(section(page("formats/stick.md"), "## Partitions"))


def test_the_page_of_the_report_describes_exactly_the_fields_that_are_written() -> None:
    described = named(page("formats/demo-report.md").partition("## Seconds")[0])
    assert described == set(field_paths(a_report()))


def a_report() -> dict[str, Any]:
    soul = {"boot_id": "", "counter": 1, "file_found": True, "pattern_ok": True, "pattern_verified": 1}
    stays = [
        Stay(
            find_profile("old-desktop"),
            internal_disk_sha256={"before": "", "after": ""},
            first_soul=soul,
            last_soul=soul,
            answers={"verify": ""},
            running={"stages": {}},
            suspended={"stages": {}},
            clock_off_seconds={"at first": 0.0, "after work": 0.0},
            bytes={},
        )
        for _ in range(2)
    ]
    counted = dict.fromkeys(noted_names("bytes"), 0)
    for stay in stays:
        stay.bytes.update(counted)
    report = report_of(Path("stick.img"), stays, 1, [])
    for pc in report["pcs"]:
        pc["bytes"] = pc["answers"] = {}
    return report


def noted_names(what: str) -> set[str]:
    """The names under which the demonstration notes seconds or bytes."""
    text = (ROOT / "demo/stations.py").read_text()
    return set(re.findall(rf'seen\.{what}\["([^"]+)"\]', text))


@pytest.mark.parametrize("what", ["seconds", "bytes"])
def test_the_page_of_the_report_names_every_figure_of_a_pc(what: str) -> None:
    assert noted_names(what) == named(section(page("formats/demo-report.md"), f"## {what.capitalize()}"))


def test_the_page_of_recipes_describes_exactly_the_fields_of_both_kinds() -> None:
    text = page("formats/recipes.md")
    assert {field.name for field in dataclasses.fields(HostRecipe)} == named(section(text, "## Hosts"))
    guest = {"disk_size" if field.name == "disk_bytes" else field.name for field in dataclasses.fields(GuestRecipe)}
    settings = {f"settings.{name}" for name, _ in read_guest_recipe(IMAGES / "guest-demo.toml").settings}
    assert guest | settings == named(section(text, "## Guests"))


def test_the_page_of_pcs_describes_exactly_the_fields_the_choices_and_the_profiles() -> None:
    text = page("formats/pcs.md")
    disk = {"size" if field.name == "size_bytes" else field.name for field in dataclasses.fields(InternalDisk)}
    fields = {field.name for field in dataclasses.fields(PcProfile)} | {f"internal_disk.{name}" for name in disk}
    assert fields == named(text.partition("## ")[0])
    for choices in (Firmware, Usb, Display, Nic):
        assert all(f"`{choice}`" in text for choice in choices)
    assert {profile.name for profile in known_profiles()} == named(section(text, "## The PCs there are"))


# --- exit codes


@dataclass(frozen=True)
class ErrorClass:
    """A class of the code; ``exit_code`` is None where it inherits."""

    name: str
    bases: tuple[str, ...]
    exit_code: int | None


def error_classes() -> dict[str, int]:
    """All SoulpadErrors in the code, name to exit code. Read, not imported: libvirt is on the stick alone."""
    found = {item.name: item for item in classes_of_the_code()}
    return {name: code for name in found if (code := exit_code_of(name, found)) is not None}


def classes_of_the_code() -> Iterator[ErrorClass]:
    for folder in CODE:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
                    yield ErrorClass(node.name, bases, own_exit_code(node))


def own_exit_code(node: ast.ClassDef) -> int | None:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "exit_code":
            return int(ast.literal_eval(statement.value))
    return None


def exit_code_of(name: str, found: dict[str, ErrorClass]) -> int | None:
    """None for a class that is no SoulpadError."""
    item = found.get(name)
    if item is None:
        return None
    inherited = next((code for base in item.bases if (code := exit_code_of(base, found)) is not None), None)
    is_ours = name == "SoulpadError" or inherited is not None
    return (item.exit_code or inherited) if is_ours else None


def test_the_page_of_exit_codes_has_every_class_with_its_number_and_no_other() -> None:
    described = {row[1].strip("`"): int(row[0]) for row in rows(page("exit-codes.md"), 4) if row[0].isdecimal()}
    assert described == error_classes()


def test_the_errors_of_every_package_are_found() -> None:
    found = error_classes()
    assert {"UsageError", "DeviceFailed", "MachineFailed", "TooLittleMemory", "GuestPanicked"} <= set(found)
    assert (found["SoulpadError"], found["GuestPanicked"]) == (1, 60)


# --- commands


def options_of(command: str) -> set[str]:
    """What a command takes, without what all take and what is hidden; arguments as the help shows them."""
    parsers = next(
        action for action in parser_for([command])._actions if isinstance(action, argparse._SubParsersAction)
    )
    taken: set[str] = set()
    for action in parsers.choices[command]._actions:
        if action.help != argparse.SUPPRESS and action.dest not in ("help", "json"):
            taken.update(action.option_strings[-1:] or list(action.choices or [str(action.metavar)]))
    return taken


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_commands_describes_exactly_what_a_command_takes(command: str) -> None:
    described = named(section(page("commands.md"), f"## soulpad {command}"))
    assert {word.replace("\\|", "|").split()[0] for word in described} == options_of(command)


def test_the_page_of_commands_has_every_cpu_class_and_no_other() -> None:
    assert named(section(page("commands.md"), "## CPU classes")) == {known.name for known in CLASSES}


def test_the_page_of_commands_has_no_command_that_does_not_exist() -> None:
    assert set(re.findall(r"^## soulpad (\w+)$", page("commands.md"), re.MULTILINE)) == set(COMMANDS)


# --- reports


def test_the_page_of_testing_names_every_event_that_the_host_reports() -> None:
    sources = [*(ROOT / "soulpad/session").glob("*.py"), *(ROOT / "hostos/keeper").glob("*.c")]
    code = "\n".join(path.read_text() for path in sources)
    calls = re.findall(r"\breport\((.*)", code)
    reported = {word for call in calls for word in re.findall(r'^"([a-z-]+)"(?: if .* else "([a-z-]+)")?', call)}
    events = {event for pair in reported for event in pair if event}
    assert len(events) > 10
    assert events == named(section(page("testing.md"), "## What the host reports"))


# --- links and names


def our_pages() -> list[Path]:
    pages: list[Path] = []
    for folder, below, files in os.walk(ROOT):
        below[:] = set(below) - NOT_OURS  # not even looked into: a build comes and goes there
        pages += [Path(folder) / name for name in files if name.endswith(".md")]
    return sorted(pages)


def links_of(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchor_of(heading: str) -> str:
    """As forges make them: lower case, punctuation dropped, spaces as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", our_pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for link in links_of(path.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in map(anchor_of, headings), f"{link}: no such heading"


@pytest.mark.parametrize("path", our_pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = path.read_text()
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("path", our_pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_source_file_that_a_page_names_exists(path: Path) -> None:
    pattern = r"`((?:soulpad|builder|hostos|images|demo|tests|setup|benchmarks|docs)/[\w./-]+)`"
    names = re.findall(pattern, path.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    waiting = list(reached)
    while waiting:
        start = waiting.pop()
        for link in links_of(start.read_text()):
            target = (start.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in reached:
                reached.add(target)
                waiting.append(target)
    assert set(our_pages()) - reached == set()
