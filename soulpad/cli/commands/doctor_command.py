"""``soulpad doctor``: what this machine lacks to build and try sticks."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from rich.markup import escape

from builder.doctor import GROUPS, Finding, examine, install_command
from builder.kvmprobe import why_kvm_fails
from soulpad.base.errors import MissingProgram
from soulpad.cli.output import emit, people

EPILOG = """example: soulpad doctor
         soulpad doctor --for try --probe-kvm

exit codes: 0 nothing is missing, 42 something is (each with the command that mends it)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="groups",
        action="append",
        choices=GROUPS,
        help="what the machine is for: build images, try them in emulated PCs, test the project (default: build, try)",
    )
    parser.add_argument("--probe-kvm", action="store_true", help="boot a tiny guest to see whether KVM really works")


def run(arguments: argparse.Namespace) -> int:
    findings = examine(arguments.groups or ("build", "try"), why_kvm_fails if arguments.probe_kvm else None)
    lacking = [finding for finding in findings if finding.required and not finding.ok]
    if arguments.json:
        emit({"ok": not lacking, "install": install_command(findings), "findings": [asdict(item) for item in findings]})
    else:
        for finding in findings:
            say(finding)
        conclude(findings, lacking)
    return MissingProgram.exit_code if lacking else 0


def say(finding: Finding) -> None:
    """One finding as a line, and the line that mends it."""
    mark = (
        "[green]ok[/green]     "
        if finding.ok
        else "[red]missing[/red]"
        if finding.required
        else "[yellow]note[/yellow]   "
    )
    people.print(f"{mark} {finding.name}: {escape(finding.said)}")
    if finding.mend and not finding.ok and not finding.package:
        people.print(f"        {finding.mend}")


def conclude(findings: list[Finding], lacking: list[Finding]) -> None:
    """What to do now."""
    command = install_command(findings)
    if command:
        people.print(f"\nInstall what is missing:\n  {command}")
    if not lacking:
        people.print("\nThis machine has all that it takes.")
