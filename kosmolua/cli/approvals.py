"""``approvals``: list the questions that runs wait for, and decide them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import msgspec

from kosmolua.cli import options, output
from kosmolua.cli.worker import VARIABLE, add_database, opened
from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.journal.approvals import Approval, Verdict, check_approver, fields_of, rules_for, unknown, who
from kosmolua.settings import ages, approvers, config
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

if TYPE_CHECKING:
    import argparse

    from kosmolua.worker.database import Database

ACTIONS = {
    "list": "list the open questions",
    "show ID": "show a question with all arguments",
    "approve ID ...": "allow these calls",
    "deny ID ...": "refuse these calls",
}
_VERDICTS: dict[str, Verdict] = {"approve": "approved", "deny": "denied"}
_SHOWN = 60  # characters of a call's arguments that the list shows


class Place(Protocol):
    """Where approvals are kept. In an ``own`` place, the submitter of a run may decide its approvals by default."""

    own: bool

    def listed(self, *, decided: bool, run: str | None) -> list[Approval]: ...

    def find(self, identifier: str) -> Approval: ...

    def reread(self, one: Approval) -> Approval: ...

    def decide(
        self, identifiers: Sequence[str], verdict: Verdict, by: str, acting: str | None, reason: str | None
    ) -> list[Approval]: ...


class _Local:
    """The state directory of the user. Nobody else can decide there, so the user may decide about their own runs."""

    own = True

    def __init__(self) -> None:
        from kosmolua.journal.local_approvals import ApprovalFile

        self._file = ApprovalFile(os.environ)

    def listed(self, *, decided: bool, run: str | None) -> list[Approval]:
        return self._file.listed(decided=decided, run=run)

    def find(self, identifier: str) -> Approval:
        return self._file.find(identifier)

    def reread(self, one: Approval) -> Approval:
        """The run checks a decision when it is resumed, by the configuration of this user."""
        return msgspec.structs.replace(one, own=None)

    def decide(
        self, identifiers: Sequence[str], verdict: Verdict, by: str, acting: str | None, reason: str | None
    ) -> list[Approval]:
        return self._file.decide(identifiers, verdict, by, acting=acting, reason=reason)


class _Submitted:
    """The database of workers."""

    own = False

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, *, decided: bool, run: str | None) -> list[Approval]:
        from kosmolua.worker import approvals

        return approvals.listed(self._database, decided=decided, run=run)

    def find(self, identifier: str) -> Approval:
        from kosmolua.worker import approvals

        return approvals.find(self._database, identifier)

    def reread(self, one: Approval) -> Approval:
        from kosmolua.worker import approvals

        return approvals.reread(self._database, one)

    def decide(
        self, identifiers: Sequence[str], verdict: Verdict, by: str, acting: str | None, reason: str | None
    ) -> list[Approval]:
        from kosmolua.worker import approvals

        return approvals.decide(self._database, identifiers, verdict, by, acting=acting, reason=reason)


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_intermixed_args(argv or ["list"])
    if parsed.action == "list" and parsed.ids:
        raise UsageError(f"list does not take an id, got {parsed.ids[0]!r}", hint=f"kosmo {command} show ID")
    if parsed.action == "show" and len(parsed.ids) != 1:
        raise UsageError(f"expected one id, got {len(parsed.ids)}", hint=f"list them: kosmo {command} list")
    if parsed.action != "list" and not parsed.ids:
        raise UsageError("missing approval id", hint=f"list them: kosmo {command} list")
    if parsed.rule and parsed.action != "approve":
        raise UsageError(
            "--rule saves a rule that allows calls, so it needs the action approve",
            hint=f"kosmo {command} approve ID --rule",
        )
    with _places(parsed.database) as places:
        match parsed.action:
            case "list":
                return _list(places, parsed)
            case "show":
                return _show(_find(places, parsed.ids[0])[1], as_json=parsed.json)
        return _decide(places, parsed)


def _parser(command: str) -> options.Parser:
    made = options.parser(
        command,
        "List and decide the questions that runs wait for: submitted runs, and runs of kosmo lua --wait-for-approval. "
        "A decision applies only to the exact call that is shown.",
        f'kosmo {command} approve 1f2e3d4c5b --reason "within budget"',
    )
    options.add_action(made, ACTIONS)
    made.add_argument("ids", nargs="*", metavar="ID", help="ids of the approvals to show or decide")
    made.add_argument(
        "--as", dest="as_", metavar="NAME", help="approve, deny: decide under this name, if the configuration allows it"
    )
    made.add_argument("--reason", metavar="TEXT", help="approve, deny: why; a denial passes it to the script")
    made.add_argument("--rule", action="store_true", help="approve: also save a policy rule that allows such calls")
    made.add_argument("--all", action="store_true", help="list: include decided approvals")
    made.add_argument("--run", metavar="RUN", help="list: show only the approvals of this run")
    add_database(made)
    options.add_json(made)
    return made


@contextmanager
def _places(given: str | None) -> Iterator[list[Place]]:
    """The places to search: the given database; without one, the state directory, and the database of this user's
    worker if that is running.
    """
    if given is not None or os.environ.get(VARIABLE):
        with opened(given) as database:
            yield [_Submitted(database)]
        return
    from contextlib import ExitStack

    places: list[Place] = [_Local()]
    with ExitStack() as stack:
        if _runs_here():
            with suppress(ConfigurationError):
                places.append(_Submitted(stack.enter_context(opened(None))))
        yield places


def _runs_here() -> bool:
    """Whether a worker of this user, started without --database, is running."""
    from kosmolua.worker import embedded

    return os.path.exists(os.path.join(embedded.directory(os.environ), "data", "postmaster.pid"))


def _find(places: list[Place], identifier: str) -> tuple[Place, Approval]:
    for place in places:
        with suppress(UsageError):
            return place, place.find(identifier)
    raise unknown(identifier)


# Deciding ---------------------------------------------------------------------------------------------------------


def _decide(places: list[Place], parsed: argparse.Namespace) -> int:
    settings = config.load(os.environ).approvals
    by, acting = approvers.identity(settings, parsed.as_)
    found = [_find(places, identifier) for identifier in dict.fromkeys(parsed.ids)]
    for place, one in found:
        if parsed.action == "approve":
            check_approver(settings, one, by, own=place.own, reread=place.reread)
        elif by != one.submitted_by:
            rules_for(settings, one, own=place.own).check(by, None)
    to_save = [_rule_of(one) for _, one in found] if parsed.rule else []
    decided: list[Approval] = []
    for place in dict.fromkeys(place for place, _ in found):
        ids = [one.id for where, one in found if where is place]
        decided += place.decide(ids, _VERDICTS[parsed.action], by, acting, parsed.reason)
    saved = _save(to_save)
    if parsed.json:
        output.show_json({"success": True, "approvals": [fields_of(one) for one in decided], "rules_in": saved})
        return 0
    local = {one.id for place, one in found if place.own}
    for one in decided:
        then = f"; to continue: kosmo runs resume {one.run}" if one.id in local else f"; run {one.run} continues"
        output.write_text(safe(f"{one.id}: {one.status} {one.function} by {one.decided_by}{then}") + "\n")
    if saved:
        output.write_text(safe(f"wrote the rule into {saved}") + "\n")
    return 0


def _rule_of(one: Approval) -> config.Rule:
    if one.rule is None:
        raise UsageError(
            f"--rule: no rule can allow only calls like {one.id}", hint="write one by hand: see docs/permissions.md"
        )
    try:
        return msgspec.json.decode(one.rule, type=config.Rule)
    except msgspec.MsgspecError as error:
        raise UsageError(f"--rule: invalid rule of approval {one.id}: {error}", hint="omit --rule") from None


def _save(rules: list[config.Rule]) -> str | None:
    from kosmolua.settings.edit import add_rule

    path = None
    for rule in rules:
        path = add_rule(rule, os.environ)
    return path


# Showing ----------------------------------------------------------------------------------------------------------


def _list(places: list[Place], parsed: argparse.Namespace) -> int:
    found = [one for place in places for one in place.listed(decided=parsed.all, run=parsed.run)]
    if parsed.json:
        output.show_json({"success": True, "approvals": [fields_of(one) for one in found]})
    elif not found:
        output.write_text("no approvals to decide\n" if not parsed.all else "no approvals\n")
    else:
        rows = [("id", "status", "asked", "by", "cost", "call"), *map(_row, found)]
        output.write_text(table(rows, "", ("bold",)) + "\n")
    return 0


def _row(one: Approval) -> tuple[str, ...]:
    arguments = one.arguments if len(one.arguments) <= _SHOWN else f"{one.arguments[: _SHOWN - 1]}…"
    words = (one.submitted_by or "", _cost(one), f"{one.function} {arguments}")
    return (one.id, one.status, ages.local_time(one.asked_at), *(safe(word) for word in words))


def _cost(one: Approval) -> str:
    return "unknown" if one.estimate is None else f"{one.estimate:g}"


def _show(one: Approval, *, as_json: bool) -> int:
    if as_json:
        output.show_json({"success": True, "approval": fields_of(one)})
        return 0
    by = f"{one.decided_by or ''}{f' ({one.acting} on their behalf)' if one.acting else ''}"
    facts = [
        ("approval", one.id),
        ("status", one.status + (f" by {by}" if by else "") + (f": {one.reason}" if one.reason else "")),
        *([("decided", ages.local_time(one.decided_at))] if one.decided_at else []),
        *([("used", ages.local_time(one.used_at))] if one.used_at else []),
        ("function", f"{one.function} ({one.access})"),
        ("account", one.account),
        ("estimated cost", _cost(one)),
        ("arguments", one.arguments),
        ("digest", one.digest),
        ("why", one.why),
        ("script", one.script),
        ("run", f"{one.run} ({one.state}), task {one.task}, request {one.request}"),
        ("submitted by", one.submitted_by or "unknown"),
        *([("may decide", who(one))] if one.status == "open" else []),
        ("asked", ages.local_time(one.asked_at)),
        ("expires", f"{ages.local_time(one.expires_at)}{_left(one)}"),
        *([("rule to save", one.rule)] if one.rule else []),
    ]
    output.write_text(table([(name, safe(value)) for name, value in facts], "") + "\n")
    if one.status == "open":
        output.write_text(
            f"\nto decide: kosmo approvals approve {one.id}, or kosmo approvals deny {one.id} --reason …\n"
        )
    return 0


def _left(one: Approval) -> str:
    hours = (one.expires_at - time.time()) / 3600
    return f", in {hours / 24:.0f} days" if hours >= 48 else f", in {hours:.1f} hours" if hours > 0 else ""  # noqa: PLR2004
