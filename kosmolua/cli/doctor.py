"""``integrations:doctor``: check whether a call would work, and if not, print what to run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.host import options_of
from kosmolua.cli.options import Options
from kosmolua.cli.providers import check_provider
from kosmolua.errors import EXIT_FAILED
from kosmolua.host import doctor
from kosmolua.host.doctor import Check
from kosmolua.settings.edit import SECTION
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

if TYPE_CHECKING:
    import argparse


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    options = options_.shared(parsed)
    check_provider(parsed.provider)
    checks = list(doctor.checks(options_of(options), offline=parsed.offline))
    failed = next((check for check in checks if check.ok is False), None)
    if options.json:
        output.show_json(_answer(checks, options))
    else:
        output.write_text(_shown(checks) + "\n")
    return failed.exit_status or EXIT_FAILED if failed else 0


def _parser(command: str) -> argparse.ArgumentParser:
    made = options_.parser(
        command,
        "Check whether a call would work. For each failed check, print what to run.",
        f"kosmo {command} {SECTION} --json",
    )
    made.add_argument(
        "provider", nargs="?", default=SECTION, metavar="PROVIDER", help=f"provider to check (default: {SECTION})"
    )
    made.add_argument("--offline", action="store_true", help="skip the checks that need the network")
    options_.add_shared(made)
    return made


# Output -----------------------------------------------------------------------------------------------------------


def _answer(checks: list[Check], options: Options) -> dict[str, Any]:
    return {
        "success": all(check.ok is not False for check in checks),
        "provider": SECTION,
        "account": options.account,
        "checks": [
            {"check": check.check, "ok": check.ok, "message": check.message, "next": check.next} for check in checks
        ],
    }


_MARKS = {True: "ok", False: "fails", None: "-"}


def _shown(checks: list[Check]) -> str:
    return table(_rows(checks), "", ("bold", "cyan"))


def _rows(checks: list[Check]) -> Iterator[tuple[str, str, str]]:
    for check in checks:
        yield _MARKS[check.ok], check.check, safe(check.message)
        if check.next:
            yield "", "", safe(check.next)
