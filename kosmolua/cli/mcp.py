"""``mcp:serve``, and ``mcp:install``, ``mcp:uninstall`` and ``mcp:export``: the MCP server and its registration."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.unfinished import print_unfinished
from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.replicate.token import looks_like_token
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    from kosmolua.gate.ending import Unfinished
    from kosmolua.host.host import Host
    from kosmolua.mcp import http
    from kosmolua.mcp.service import Options
    from kosmolua.mcp.work import Current

MAX_CHARS = 20_000
RETURN_AFTER = 45.0  # the same as in kosmolua.mcp.service, which takes time to import
MAX_PORT = 65_535
MAX_NAME = 64  # characters
ADDRESS = "127.0.0.1:8808"
TOKEN = "KOSMO_MCP_TOKEN"  # noqa: S105 - the name of a variable
DIALECTS = ("any", "openai", "anthropic", "gemini")  # the same as in kosmolua.mcp.schemas, which takes time to import


def run(command: str, argv: list[str]) -> int:
    if command == "mcp:serve":
        return _serve(_serving(command).parse_args(argv))
    if any(looks_like_token(word) for word in argv):
        raise UsageError(
            "an argument looks like a token; tokens must not be in a client's configuration",
            hint="store it for the server: kosmo integrations:configure replicate",
        )
    if command == "mcp:uninstall":
        return _uninstall(_uninstalling(command).parse_args(argv))
    own, served = _divided(argv)
    if not own and not served:
        from kosmolua.mcp.clients import CLIENTS

        raise UsageError(f"missing client; expected one of {', '.join(CLIENTS)}", hint=f"kosmo {command} claude-code")
    _check_place(command, own, served)
    if _serving("mcp:serve").parse_args(served).http:  # check the flags before they are written
        raise UsageError(
            "--http is for a server that you start; a registered client starts its own",
            hint="leave out --http, or give the client the URL",
        )
    parsed = _installing(command).parse_args(own)
    return _export(parsed, served) if command == "mcp:export" else _install(parsed, served)


# Serving ----------------------------------------------------------------------------------------------------------


def _serving(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Serve an MCP client over standard input and output, or clients over HTTP. Expose each function as a tool, or "
        "with --code one execute_lua tool instead.",
        f"kosmo {command} --code --write ask --max-predictions 20",
    )
    made.add_argument(
        "--code", action="store_true", help="expose execute_lua, runs, search_docs and read_docs instead of functions"
    )
    made.add_argument(
        "--tools",
        action="append",
        metavar="GLOB",
        help="expose only functions whose names match, such as get_*; repeatable (default: all; with --code, none)",
    )
    _add_tools(made)
    made.add_argument(
        "--return-after",
        type=options_.amount,
        default=RETURN_AFTER,
        metavar="SECONDS",
        help="return from execute_lua after SECONDS even if its script is still running; the tool `runs` then shows "
        f"the result; 0 waits for the end (default: {RETURN_AFTER:g})",
    )
    verdicts: dict[str, Any] = {"choices": options_.VERDICTS, "metavar": "allow|ask|deny"}
    made.add_argument("--read", **verdicts, help="set the policy for reads (default: as configured)")
    made.add_argument(
        "--write",
        **verdicts,
        default="deny",
        help="set the policy for writes; never allows more than configured (default: deny, which hides writes)",
    )
    made.add_argument(
        "--account", default="default", metavar="NAME", help="use the credentials of this account (default: default)"
    )
    made.add_argument("--emulate", action="store_true", help="use the built-in emulator")
    made.add_argument("--models", metavar="PATH", help=options_.FLAGS["models"][1])
    made.add_argument(
        "--max-result-chars",
        type=options_.count,
        default=MAX_CHARS,
        metavar="N",
        help=f"truncate results after N characters (default: {MAX_CHARS})",
    )
    options_.add_isolation(made)
    options_.add_limits(made)
    options_.add_gate(made)
    options_.add_functions(made)
    _add_scripts(made)
    _add_http(made)
    return made


def _add_tools(made: options_.Parser) -> None:
    made.add_argument(
        "--tool-names",
        choices=("short", "seed"),
        default="short",
        metavar="short|seed",
        help="form of tool names. short: replicate_get_model; seed: integration__replicate__get_model (default: short, "
        "because clients limit a name with their own prefix to 60 characters)",
    )
    made.add_argument(
        "--client",
        choices=DIALECTS,
        default=DIALECTS[0],
        metavar="|".join(DIALECTS),
        help="write tool schemas in the form that this vendor's models accept (default: any)",
    )


def _add_scripts(made: options_.Parser) -> None:
    made.add_argument(
        "--scripts",
        action="store_true",
        help="expose each script of `kosmo scripts list` as a tool with its arguments; search_docs finds "
        "the scripts even without this flag",
    )


def _add_http(made: options_.Parser) -> None:
    made.add_argument(
        "--http",
        nargs="?",
        const=ADDRESS,
        metavar="HOST:PORT",
        help=f"serve streamable HTTP instead of standard input and output (default: {ADDRESS}); clients send the "
        f"bearer token in {TOKEN}, or the one that is printed at the start",
    )
    made.add_argument(
        "--allow-host", action="append", metavar="HOST", help="with --http, accept requests to this host; repeatable"
    )
    made.add_argument(
        "--allow-origin",
        action="append",
        metavar="ORIGIN",
        help="with --http, accept requests from pages of this origin; repeatable",
    )
    made.add_argument(
        "--no-token",
        action="store_true",
        help="with --http on loopback, accept every program on this machine without a token",
    )


def _serve(parsed: argparse.Namespace) -> int:
    from kosmolua.cli.host import check_settings
    from kosmolua.mcp.service import Options

    if parsed.http is None and (parsed.allow_host or parsed.allow_origin or parsed.no_token):
        raise UsageError(
            "--allow-host, --allow-origin and --no-token need --http", hint="add --http, or leave them out"
        )
    if parsed.models and not parsed.emulate:
        raise UsageError("--models needs --emulate")
    from kosmolua.cli import functions

    check_settings()
    parsed.functions = functions.load(parsed.functions)
    options = Options(
        tools=tuple(parsed.tools or (() if parsed.code else ("*",))),
        code=parsed.code,
        max_chars=parsed.max_result_chars,
        names=parsed.tool_names,
        dialect=parsed.client,
        scripts=parsed.scripts,
        return_after=parsed.return_after,
        account=parsed.account,
        emulated=parsed.emulate,
    )
    tell = _forget if parsed.emulate else partial(print_unfinished, canceled=False)
    return _serve_streams(parsed, options, tell) if parsed.http is None else _serve_http(parsed, options, tell)


def _serve_streams(parsed: argparse.Namespace, options: Options, tell: Callable[[Unfinished], None]) -> int:
    from kosmolua.mcp import server
    from kosmolua.mcp.work import Current

    current = Current()
    with _host(parsed, current) as host:
        server.serve(host, current, options, tell)
    return 0


def _serve_http(parsed: argparse.Namespace, options: Options, tell: Callable[[Unfinished], None]) -> int:
    if find_spec("mcp") is None or find_spec("uvicorn") is None:
        raise ConfigurationError(
            "mcp:serve --http needs the extra `mcp`, which is not installed",
            hint="install it: pip install 'kosmolua[mcp]'",
        )
    from kosmolua.errors import EXIT_SIGNALED
    from kosmolua.mcp import http
    from kosmolua.mcp.service import Service
    from kosmolua.mcp.work import Current

    endpoint, is_made = _endpoint(parsed)

    def make(shared: bool) -> Service:
        current = Current(shared=shared)
        return Service(_host(parsed, current), current, options)

    def announce(url: str) -> None:
        _warn(f"serving {url}; stop it with Ctrl-C")
        if is_made:
            _warn(f"clients send the header Authorization: Bearer {endpoint.token}")

    number = http.serve(http.Sessions(make, tell), endpoint, options.instructions, announce)
    return EXIT_SIGNALED + number if number else 0


def _endpoint(parsed: argparse.Namespace) -> tuple[http.Endpoint, bool]:
    """The address to serve, and whether its token was generated here. Raises a `UsageError`."""
    from kosmolua.mcp.http import LOOPBACK, Endpoint

    host, _, port = parsed.http.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MAX_PORT:
        raise UsageError(f"--http: expected HOST:PORT, got {parsed.http!r}", hint="example: --http 127.0.0.1:8808")
    is_loopback = host in LOOPBACK
    if not is_loopback and (parsed.no_token or not parsed.allow_host):
        raise UsageError(
            f"--http: {host} is not loopback; expected a token and the host names that clients use",
            hint="name them: --allow-host mcp.example.com, and put a proxy with TLS in front",
        )
    given = None if parsed.no_token else os.environ.get(TOKEN) or None
    is_made = given is None and not parsed.no_token
    if is_made:
        from secrets import token_urlsafe

        given = token_urlsafe(32)
    hosts, origins = tuple(parsed.allow_host or ()), tuple(parsed.allow_origin or ())
    return Endpoint(host=host.strip("[]"), port=int(port), token=given, hosts=hosts, origins=origins), is_made


def _host(parsed: argparse.Namespace, current: Current) -> Host:
    from kosmolua.host.host import Host

    return Host(
        account=parsed.account,
        read=parsed.read,
        write=parsed.write,
        yielding=True,
        caller="mcp",
        prompter=current,
        emulate=parsed.emulate,
        models=parsed.models,
        isolation=parsed.isolation,
        limits=options_.limits(parsed),
        caps=options_.caps(parsed),
        allow_read=parsed.allow_read,
        allow_write=parsed.allow_write,
        allow_env=parsed.allow_env,
        prepare=parsed.code,
        functions=parsed.functions,
        on_notice=_warn,
    )


def _forget(_left: object) -> None:
    """Do nothing: emulated jobs end with the server."""


def _warn(text: str) -> None:
    print(safe(f"kosmo: {text}"), file=sys.stderr, flush=True)


# Installing -------------------------------------------------------------------------------------------------------


def _divided(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments at ``--`` into those of this command and those of the server."""
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def _installing(command: str) -> options_.Parser:
    what = {
        "mcp:install": "Register the server with an MCP client. The rest of the client's configuration is kept.",
        "mcp:export": "Print the configuration that mcp:install would write.",
    }
    made = options_.parser(command, what[command], f"kosmo {command} claude-code --project -- --code --write ask")
    _add_target(made, "register with", "register")
    made.add_argument("flags", nargs="*", metavar="-- FLAGS", help="flags of mcp:serve")
    return made


def _check_place(command: str, own: list[str], served: list[str]) -> None:
    """Refuse server flags before ``--``; the hint is the command that passes them to the server."""
    known = _installing(command).takes
    of_server = _serving("mcp:serve").takes
    wrong = [at for at, word in enumerate(own) if _flag(word) in of_server and _flag(word) not in known]
    if wrong:
        flags = shlex.join([*own[wrong[0] :], *served])
        before = shlex.join(own[: wrong[0]]) or "CLIENT"
        raise UsageError(
            f"{_flag(own[wrong[0]])} is a flag of mcp:serve; put such flags after --",
            hint=f"run kosmo {command} {before} -- {flags}",
        )


def _flag(word: str) -> str:
    return word.partition("=")[0]


def _uninstalling(command: str) -> options_.Parser:
    what = "Remove the server from the configuration of an MCP client. The rest of the configuration is kept."
    made = options_.parser(command, what, f"kosmo {command} claude-code --project")
    _add_target(made, "remove it from", "remove it")
    made.set_defaults(flags=[])
    return made


def _add_target(made: options_.Parser, to: str, verb: str) -> None:
    from kosmolua.mcp.clients import CLIENTS

    made.add_argument("client", metavar="CLIENT", help=f"client to {to}: {', '.join(CLIENTS)}")
    made.add_argument("--project", action="store_true", help=f"{verb} for this directory (default: for this user)")
    made.add_argument(
        "--name", type=_name, default="kosmolua", metavar="NAME", help="name the server (default: kosmolua)"
    )
    options_.add_json(made)


def _name(text: str) -> str:
    """The name of a server. Clients use it as a part of tool names."""
    if not text.isascii() or not text.replace("-", "").replace("_", "").isalnum() or len(text) > MAX_NAME:
        raise argparse.ArgumentTypeError(f"expected at most {MAX_NAME} letters, digits, - and _, got {text[:100]!r}")
    return text


def _export(parsed: argparse.Namespace, served: list[str]) -> int:
    from kosmolua.mcp import install
    from kosmolua.mcp.clients import path_of

    client = _client(parsed)
    entry = install.entry(client, parsed.name, served, project=parsed.project)
    if parsed.json:
        path = path_of(client, project=parsed.project)
        output.show_json({"success": True, "path": path, "name": parsed.name, "server": entry})
    else:
        output.write_bytes(install.merged(client, b"", parsed.name, entry))
    return 0


def _install(parsed: argparse.Namespace, served: list[str]) -> int:
    from kosmolua.mcp import install

    client = _client(parsed)
    path = install.install(client, parsed.name, served, project=parsed.project)
    if parsed.json:
        output.show_json({"success": True, "client": client.name, "path": path, "name": parsed.name})
    else:
        print(safe(f"registered {parsed.name} in {path}; restart {client.title} to use it"))
    return 0


def _uninstall(parsed: argparse.Namespace) -> int:
    from kosmolua.mcp import install

    client = _client(parsed)
    path, removed = install.uninstall(client, parsed.name, project=parsed.project)
    if parsed.json:
        given = {"client": client.name, "path": path, "name": parsed.name, "removed": removed}
        output.show_json({"success": True, **given})
    elif removed:
        print(safe(f"removed {parsed.name} from {path}; restart {client.title}"))
    else:
        print(safe(f"{parsed.name} is not registered in {path}; nothing to remove"))
    return 0


def _client(parsed: argparse.Namespace) -> Any:
    from kosmolua.mcp.clients import CLIENTS

    if parsed.flags:
        raise UsageError(
            f"unexpected argument {parsed.flags[0]!r}", hint=f"put flags of mcp:serve after --: -- {parsed.flags[0]}"
        )
    if parsed.client not in CLIENTS:
        from kosmolua.replicate.nearest import nearest

        near = nearest(parsed.client, CLIENTS)
        raise UsageError(
            f"unknown client {parsed.client!r}"
            + (f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(CLIENTS)}"),
            hint=f"to configure another client by hand: kosmo mcp:export {next(iter(CLIENTS))}",
        )
    return CLIENTS[parsed.client]
