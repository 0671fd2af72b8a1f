"""``runs undo``: cancel and delete what a run created."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.confirm import can_ask, confirmed
from kosmolua.cli.host import host_of
from kosmolua.cli.worker import add_database
from kosmolua.errors import KosmoError, PermissionDeniedError, UsageError
from kosmolua.journal import runs, undo
from kosmolua.journal.undo import Step, Undo
from kosmolua.replicate.results import TERMINAL
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    from kosmolua.host.host import Host

_DELETE_VERSION = "delete_model_version"


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    options = options_.shared(parsed)
    if parsed.database is None:
        identifier, plan = _recorded(parsed.run, options)
    else:
        identifier, plan = _submitted(parsed.run, parsed.database, options)
    if not options.json:
        _show(plan)
    if options.dry_run or not plan.steps:
        return _report(options.json, identifier, plan, [], dry_run=options.dry_run)
    if not parsed.yes:
        _ask(len(plan.steps))
    with host_of(options) as host:
        results = [_result(host, step, quiet=options.json) for step in plan.steps]
    return _report(options.json, identifier, plan, results)


def _recorded(name: str, options: options_.Options) -> tuple[str, Undo]:
    """The id of a run with a journal on this machine, and the calls that undo it."""
    path = runs.find(os.environ, name)
    one = runs.summary(path)
    if one.state == "running":
        raise UsageError(f"{name} is running", hint="stop it first, for example with Ctrl-C")
    if one.emulated and not options.emulate:
        raise UsageError(
            f"{name} used the emulator, which keeps nothing after a run", hint="delete it: kosmo runs prune RUN"
        )
    return one.id, undo.plan(path)


def _submitted(name: str, url: str, options: options_.Options) -> tuple[str, Undo]:
    """The same for a run in the database of workers. The run must have ended, since a running one could create more."""
    from kosmolua.cli.worker import opened

    with opened(url) as database:
        from kosmolua.worker import runs as submitted
        from kosmolua.worker.store import PostgresStore

        one = submitted.find(database, name)
        if one.state not in submitted.ENDED:
            raise UsageError(f"{name} is {one.state}", hint=f"cancel it first: kosmo runs cancel {one.id}")
        store = PostgresStore(database, one.id)
        with store.hold():
            if store.facts()["emulated"] and not options.emulate:
                raise UsageError(
                    f"{name} used the emulator, whose objects are not in the account", hint="add --emulate to try it"
                )
            return one.id, undo.plan_of(store)


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        f"{command} undo",
        "Cancel the predictions and trainings of a run that are still running, and delete the files, models, versions "
        "and deployments that it created, newest first. Show the list and ask before the first call. The policy "
        "decides each call.",
        f"kosmo {command} undo nightly --write allow",
    )
    made.add_argument("run", metavar="RUN", help="id, name or file of a run; with --database its id or key")
    made.add_argument(
        "--yes", "-y", action="store_true", help="do not ask before the first call; the policy still decides each call"
    )
    add_database(made)
    options_.add_shared(made)
    return made


def _show(plan: Undo) -> None:
    for step in plan.steps:
        output.write_text(safe(f"{step} on account {step.account}") + "\n")
    for left in plan.left:
        output.write_text(safe(f"cannot be undone: {left.what}: {left.why}") + "\n")
    if not plan.steps:
        output.write_text("nothing to undo\n")


def _ask(count: int) -> None:
    if not can_ask():
        raise PermissionDeniedError(
            "runs undo needs confirmation, and there is no terminal to ask on",
            code="approval_required",
            hint="see the list with --dry-run, then add --yes",
        )
    if not confirmed(f"undo {'this' if count == 1 else f'these {count}'}?"):
        raise PermissionDeniedError(
            "nothing was undone: you answered no", hint="run the command again to be asked again"
        )


def _result(host: Host, step: Step, *, quiet: bool) -> dict[str, Any]:
    """Apply one step and print its outcome."""
    error: KosmoError | None = None
    try:
        done = _apply(host, step)
    except KosmoError as failure:
        gone = failure.code == "not_found"
        done, error = ("gone", None) if gone else ("failed", failure)
    if not quiet:
        why = f": {error.message}" if error else ""
        output.write_text(safe(f"{done}: {step.kind} {step.what}{why}") + "\n")
    failed = {"error": error.message, "code": error.code} if error else {}
    return {"kind": step.kind, "what": step.what, "account": step.account, "outcome": done, **failed}


def _apply(host: Host, step: Step) -> str:
    if not step.look:
        host.call(step.function, step.arguments, account=step.account)
        return "deleted"
    data = host.call(step.look, step.arguments, account=step.account)
    if not isinstance(data, dict) or data.get("status") not in TERMINAL:
        host.call(step.function, step.arguments, account=step.account)
        return "canceled"
    version = _version(data)
    if not version:
        return f"ended ({data['status']})"
    host.call(_DELETE_VERSION, version, account=step.account)
    return f"version deleted, ended ({data['status']})"


def _version(training: dict[str, Any]) -> dict[str, str] | None:
    """The version that a training created, as the arguments of a call."""
    made = training.get("output")
    name, _, version = str(made.get("version") or "").partition(":") if isinstance(made, dict) else ("", "", "")
    owner, _, model = name.partition("/")
    return {"model_owner": owner, "model_name": model, "version_id": version} if owner and model and version else None


def _report(as_json: bool, identifier: str, plan: Undo, results: list[dict[str, Any]], *, dry_run: bool = False) -> int:
    failed = any(each["outcome"] == "failed" for each in results)
    if as_json:
        shown = {"run": identifier, "dry_run": dry_run, "steps": plan.steps, "results": results, "left": plan.left}
        output.show_json({"success": not failed, **shown})
    return int(failed)
