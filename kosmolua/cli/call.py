"""``integrations:call`` and ``integrations:replicate``: call one function and print its answer."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kosmolua.cli import arguments as arguments_
from kosmolua.cli import output, saving, values
from kosmolua.cli.host import host_of
from kosmolua.cli.options import FLAGS, Options, assign, checked
from kosmolua.cli.signals import Signals
from kosmolua.errors import ArgumentError, InterruptError, KosmoError, OutputError, UsageError
from kosmolua.gate.entry import Entry
from kosmolua.gate.functions import resolve
from kosmolua.gate.run import Reply
from kosmolua.host.host import Host
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation
from kosmolua.settings.config import account_flag
from kosmolua.terminal.text import table, wrapped

PATIENCE = 2.0  # seconds without data on standard input before a notice says what the command waits for

_SWITCHES = {"all": "all", "cancel-on-exit": "cancel_on_exit"}  # flags of this command only; they take no value


class Request:
    """A parsed command line."""

    def __init__(self, operation: Operation, options: Options) -> None:
        self.operation = operation
        self.options = options
        self.arguments: dict[str, Any] = {}
        self.texts: list[tuple[str, str]] = []  # the texts of the flags --input.NAME, by NAME
        self.all = False
        self.cancel_on_exit = False
        self.output: str | None = None
        self.contents: list[Iterable[bytes]] = []  # the content of each file to save


def run(command: str, argv: list[str]) -> int:
    if any(token in {"--help", "-h"} for token in argv[:2]):
        print(_help(command) if argv[0].startswith("-") else _function_help(command, argv[0]))
        return 0
    if command == "integrations:replicate" and not [word for word in argv if word != "--json"]:
        if not argv:
            print(_functions())
            return 0
        from kosmolua.cli import reference

        return reference.run("integrations:list", [catalogue.PROVIDER, "--json"])
    began = time.perf_counter()
    options, name = Options(), None
    try:
        name, rest = _function(command, argv, options)
        request = read(resolve(name), rest, options)
        with Signals() as signals, host_of(request.options, isolation="none") as host:
            if request.output is not None:
                saving.check_target(request.output)
            reply = _interruptible(host, request, signals)
            failure = _prepare_output(host, request, reply)
    except KosmoError as error:
        return _fail(error, name, began, as_json="--json" in argv)
    try:
        if failure:
            raise failure
        _succeed(request, reply, began)
    except KosmoError as error:
        status = _fail(error, name, began, as_json=request.options.json and not isinstance(error, OutputError))
        if not request.options.emulate:  # emulated objects are gone after the command
            output.print_created(_created(request, reply))
        return status
    return 0


def _created(request: Request, reply: Reply) -> list[tuple[str, str, str]]:
    """The objects that the call created, as (kind, id, account)."""
    kind = (request.operation.returns or "").lower()
    found = reply.data.get("id") if isinstance(reply.data, dict) else None
    is_new = request.operation.access == "write" and catalogue.find(f"get_{kind}") is not None
    return [(kind, found, reply.entry.account)] if is_new and isinstance(found, str) else []


# Reading the command line -----------------------------------------------------------------------------------------


def _function(command: str, argv: list[str], options: Options) -> tuple[str, deque[str]]:
    """The name of the function and the tokens after it. Only shared flags may come before it."""
    rest = deque(argv)
    while rest:
        token = rest.popleft()
        if not token.startswith("-"):
            return token, rest
        name, value = _split(token)
        if name not in FLAGS:
            break
        _shared(options, name, value, rest)
    raise UsageError(
        "missing function name", hint=f"""for example: kosmo {command} {_example_name(command)} '{{}}' --json"""
    )


def read(operation: Operation, rest: deque[str], options: Options) -> Request:
    """Parse the rest of the command line. Flags override the JSON object, in the order given."""
    request = Request(operation, options)
    text, flags = _tokens(request, rest)
    checked(options)
    request.arguments = _base(operation, text)
    for name, value in flags:
        _put(request.arguments, operation, name, value)
        if name.startswith("input.") and not values.is_plain(value):
            request.texts.append((name.removeprefix("input."), value))
    if request.all and not operation.paged:
        raise UsageError(f"--all: {operation.name} does not return pages", hint="leave out --all")
    return request


def _tokens(request: Request, rest: deque[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """The text of the JSON object, and the arguments given as flags."""
    operation, options = request.operation, request.options
    flags: list[tuple[str, str]] = []
    text: str | None = None
    while rest:
        token = rest.popleft()
        name, value = _split(token)
        if not token.startswith("--"):
            if text is not None:
                raise UsageError(
                    f"expected one JSON object, got two: {text[:40]!r} and {token[:40]!r}",
                    hint="merge them into one object, or use --name value",
                )
            text = token
        elif name in FLAGS:
            _shared(options, name, value, rest)
        elif name in _SWITCHES:
            setattr(request, _SWITCHES[name], True)
        elif name == "output":
            request.output = value if value is not None else _next(rest, token)
        elif name == "arg":
            flags.append(_pair(value if value is not None else _next(rest, token)))
        else:
            flags.append(_flag(operation, token, value, rest))
    return text, flags


def _split(token: str) -> tuple[str, str | None]:
    name, equals, value = token.removeprefix("--").partition("=")
    name = name.replace("-", "_") if name.replace("-", "_") in FLAGS else name
    return name, value if equals else None


def _shared(options: Options, name: str, value: str | None, rest: deque[str]) -> None:
    takes = FLAGS[name][0]
    flag = f"--{name.replace('_', '-')}"
    if takes is None and value is not None:
        raise UsageError(f"{flag} takes no value")
    assign(options, name, value if takes is None or value is not None else _next(rest, flag))


def _next(rest: deque[str], flag: str) -> str:
    if not rest:
        raise UsageError(f"{flag}: missing value")
    return rest.popleft()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--arg: expected name=value, got {text!r}")
    return name, value


def _flag(operation: Operation, token: str, value: str | None, rest: deque[str]) -> tuple[str, str]:
    """The name and value of an argument. The value is the next token, even if that is a flag. Booleans need none."""
    name = token.removeprefix("--").partition("=")[0]
    if value is not None:
        return name, value
    parameter = operation.parameter(name.replace("-", "_").lower())
    if parameter and parameter.kind == "boolean" and (not rest or rest[0] not in {"true", "false"}):
        return name, "true"
    return name, _next(rest, token)


def _base(operation: Operation, text: str | None) -> dict[str, Any]:
    if text == "-":
        return arguments_.payload(sys.stdin.buffer.read(), "standard input")
    if text is not None:
        return arguments_.payload(text, "the payload")
    if operation.parameters and _piped():
        return _from_stdin()
    return {}


def _piped() -> bool:
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _from_stdin() -> dict[str, Any]:
    """Read JSON from a pipe or file; empty input is no arguments. If a pipe is silent for long, a notice says so."""
    ready, _, _ = select.select([0], [], [], PATIENCE)
    if not ready:
        print("kosmo: waiting for JSON on standard input; to pass none: </dev/null", file=sys.stderr)
    data = sys.stdin.buffer.read()
    if not data.strip():
        return {}
    return arguments_.payload(data, "standard input")


def _put(arguments: dict[str, Any], operation: Operation, name: str, value: str) -> None:
    if name == "path" and operation.name == "create_file":
        arguments["content"] = _file(value)
        arguments.setdefault("filename", os.path.basename(value))
    else:
        arguments_.put(arguments, operation, name, value)


def _file(path: str) -> Any:
    from kosmolua.gate.files import content_of

    try:
        return content_of(path)
    except OSError as error:
        raise ArgumentError(f"create_file: cannot read {path!r}: {error.strerror}", function="create_file") from None


# Calling ----------------------------------------------------------------------------------------------------------


def _interruptible(host: Host, request: Request, signals: Signals) -> Reply:
    """Make the call. On a signal, print what may still be running and raise an `InterruptError`."""
    try:
        _read_by_schema(host, request)
        return _all_pages(host, request) if request.all else host.request(request.operation.name, request.arguments)
    except KeyboardInterrupt as why:
        signals.hold()
        left = host.leave(cancel=request.cancel_on_exit)
        if not request.options.emulate:
            from kosmolua.cli.unfinished import print_unfinished

            print_unfinished(left, canceled=request.cancel_on_exit)
        raise InterruptError(getattr(why, "number", signal.SIGINT)) from None


def _prepare_output(host: Host, request: Request, reply: Reply) -> KosmoError | None:
    """Fetch the files to save. If that fails, return the error instead of raising it: the call itself has succeeded."""
    if request.output is None:
        return None
    try:
        operation = None if request.options.dry_run else request.operation
        merged = [reply.data.encoded(indent=True)] if _is_merged(reply.data) else None
        request.contents = merged or saving.contents(host, operation, reply.data, request.output)
    except KosmoError as error:
        if error.hint and "kosmo " in error.hint:  # the hint is a command that reads the prediction
            at_end = "wait for the end: --prefer wait" if error.code == "timed_out" else None
            error.hint = at_end if request.options.emulate else error.hint + account_flag(request.options.account)
        return error
    return None


def _read_by_schema(host: Host, request: Request) -> None:
    """Read the input's fields again, by the model's schema, if their texts could have several types."""
    reference = model_named(request.arguments)
    if not request.texts or not reference or not request.operation.starts:
        return
    from kosmolua.cli.versions import version_of

    version = version_of(host, reference, request.options)
    inputs = version and (version.training if request.operation.starts == "training" else version.inputs)
    shapes = {one.name: one.shape for one in inputs.fields} if inputs else {}
    given = request.arguments.get("input")
    for name, text in request.texts:
        if name in shapes and isinstance(given, dict) and name in given:
            given[name] = values.read(shapes[name], text)


def model_named(arguments: Mapping[str, Any]) -> str | None:
    """The reference of the model or deployment named by the arguments of a call."""
    for prefix, kind in (("deployments/", "deployment"), ("", "model")):
        owner, name = arguments.get(f"{kind}_owner"), arguments.get(f"{kind}_name")
        if isinstance(owner, str) and isinstance(name, str):
            version = arguments.get("version_id")  # of a training
            return f"{prefix}{owner}/{name}" + (f":{version}" if isinstance(version, str) else "")
    version = arguments.get("version")
    return version if isinstance(version, str) else None


def _all_pages(host: Host, request: Request) -> Reply:
    """Fetch every page from the requested one on, and merge them into one."""
    from kosmolua.cli.merged import Merged
    from kosmolua.replicate.urls import results_of

    replies = host.pages(request.operation.name, request.arguments)
    if request.options.dry_run:
        return deque(replies, maxlen=1)[-1]
    last: list[Entry] = []

    def results() -> Iterator[list[Any]]:
        for reply in replies:
            last[:] = [reply.entry]
            yield results_of(reply.data)

    merged = Merged(results())
    return Reply(merged, last[0])


# Output -----------------------------------------------------------------------------------------------------------


def _succeed(request: Request, reply: Reply, began: float) -> None:
    data = output.plain(reply.data)
    if request.output is not None:
        data = saving.write(request.output, request.contents)
    if _is_merged(data):
        around = _envelope(_qualified(request.operation), began, _meta(reply.entry, request))
        output.write_pieces(data.encoded(around if request.options.json else None, indent=_indented(request)))
    elif request.options.json:
        output.show_json(_envelope(_qualified(request.operation), began, _meta(reply.entry, request), data=data))
    elif request.output is not None:
        for each in data.get("files", [data]):
            print(f"wrote {each['size']} bytes to {each['path']}", file=sys.stderr)
    elif isinstance(reply.data, bytes):
        _show_bytes(reply.data)
    elif isinstance(reply.data, str):
        output.write_text(reply.data if reply.data.endswith("\n") else reply.data + "\n")
    elif reply.data is not None:
        output.write_text(output.to_json(reply.data) + "\n")


def _is_merged(data: Any) -> bool:
    return hasattr(data, "encoded")


def _indented(request: Request) -> bool:
    return not request.options.json or sys.stdout.isatty()


def _show_bytes(data: bytes) -> None:
    if sys.stdout.isatty():
        raise UsageError(
            f"the answer is a file of {len(data)} bytes, which is not printed on a terminal",
            hint="save it: --output FILE",
        )
    output.write_bytes(data)


def _meta(entry: Entry, request: Request) -> dict[str, Any]:
    return {
        "operation": request.operation.operation_id,
        "account": entry.account,
        "access": entry.access,
        "decision": entry.decision,
        "rule": entry.rule,
        "by": entry.by,
        "dry_run": request.options.dry_run,
        "emulated": request.options.emulate,
        "status": entry.status,
        "request_id": entry.request_id,
        **({"estimate": entry.estimate} if entry.estimate is not None else {}),
        **({"cost": entry.cost} if entry.cost is not None else {}),
    }


def _qualified(operation: Operation) -> str:
    return f"{catalogue.PROVIDER}.{operation.full_name}"


def _envelope(function: str | None, began: float, meta: dict[str, Any], **fields: Any) -> dict[str, Any]:
    base = {"function": function, "success": "error" not in fields, "data": None, "error": None, "code": None}
    return {**base, **fields, "meta": meta, "duration_ms": round((time.perf_counter() - began) * 1000, 3)}


def _fail(error: KosmoError, name: str | None, began: float, *, as_json: bool) -> int:
    if not as_json:
        output.print_error(error)
        return error.exit_status
    operation = catalogue.find(name) if name else None
    fields = output.failure(error)
    meta = fields.pop("meta")
    try:
        output.show_json(_envelope(_qualified(operation) if operation else name, began, meta, **fields))
    except OutputError as lost:
        output.print_error(error)
        output.print_error(lost)
    return error.exit_status


# Help -------------------------------------------------------------------------------------------------------------


def _example_name(command: str) -> str:
    return "get_account" if command == "integrations:replicate" else "replicate.get_account"


def _functions() -> str:
    rows = ((operation.name, operation.access, operation.summary) for operation in catalogue.OPERATIONS)
    return f"functions of replicate (each name may start with replicate_)\n\n{table(rows, styles=())}"


def _function_help(command: str, name: str) -> str:
    from kosmolua.cli.reference import function_help

    return function_help(resolve(name), command)


_ABOUT = (
    "Call one function of the Replicate API. Pass arguments as a JSON object (an argument or standard input), as "
    "flags, or both; flags override the object: --name value, --name=value, --arg name=value, --input.text value. The "
    "parameter's type determines how a flag's text is read."
)
_OWN = (
    ("--cancel-on-exit", "cancel the prediction or training on a signal"),
    ("--all", "fetch all pages of a list"),
    ("--output FILE", "write the answer to FILE; for a prediction, only its output unless FILE ends in .json"),
    ("--path FILE", "upload FILE, and set filename (create_file only)"),
)


def _row(name: str, value: str | None, what: str) -> tuple[str, str]:
    return f"--{name.replace('_', '-')}" + (f" {value}" if value else ""), what


def _help(command: str) -> str:
    prefix = "" if command == "integrations:replicate" else "replicate."
    rows = table([*(_row(name, value, what) for name, (value, what) in FLAGS.items()), *_OWN], styles=())
    return f"""{wrapped(f"usage: kosmo {command} {prefix}FUNCTION [JSON] [--NAME VALUE ...] [FLAGS]")}

{wrapped(_ABOUT)}

{rows}

example:
  kosmo {command} {prefix}create_prediction --emulate --json \\
      --version meta/meta-llama-3-8b-instruct --input.prompt 'a poem about rain' --prefer wait
  kosmo integrations:replicate    # list the functions"""
