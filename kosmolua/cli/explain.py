"""``lua --explain``: what a script declares and what the policy allows it, without running it."""

from __future__ import annotations

import os
from typing import Any

from kosmolua.check.checker import check
from kosmolua.check.program import Program, Source
from kosmolua.check.world import World
from kosmolua.cli import output
from kosmolua.cli.options import Options
from kosmolua.errors import PermissionDeniedError
from kosmolua.gate import needs, policy
from kosmolua.gate.described import describe
from kosmolua.gate.policy import Call, Decision, Policy
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation
from kosmolua.settings import config
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import heading, table


def explain(options: Options, name: str, source: bytes) -> int:
    declared = needs.read(source, name)
    in_force = policy.policy_of(config.load(os.environ, read=options.read, write=options.write))
    functions = [_function(operation, declared, in_force, options) for operation in catalogue.OPERATIONS]
    data = {
        "success": True,
        "script": name,
        "declares": declared.to_dict(),
        "arguments": describe(source, name).usage,
        "functions": [function for function in functions if function["declared"]],
        "files": _files(name, source),
    }
    if options.json:
        output.show_json(data)
    else:
        output.write_text(_shown(data, declared) + "\n")
    return 0


def _files(name: str, source: bytes) -> list[dict[str, Any]]:
    """The lines on which the script reads or writes files, as far as its text shows. Modules are not searched."""
    program = Program(Source(name, source.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")))
    found = [problem for problem in check(program, World()) if problem.code == "needs_files"]
    return [{"line": one.line, "what": one.message, "hint": one.hint} for one in found]


def _function(operation: Operation, declared: needs.Needs, in_force: Policy, options: Options) -> dict[str, Any]:
    call = Call(operation, options.account, from_script=True)
    decision = policy.decide(in_force, call)
    return {
        "function": operation.name,
        "access": operation.access,
        "declared": _is_declared(call, declared),
        "verdict": decision.verdict,
        "rule": _why(decision, options),
    }


def _is_declared(call: Call, declared: needs.Needs) -> bool:
    try:
        needs.Needs(functions=declared.functions).check(call)
    except PermissionDeniedError:
        return False
    return True


def _why(decision: Decision, options: Options) -> str:
    return f"{decision.rule}, bypassed by --force" if options.force and decision.verdict != "allow" else decision.rule


def _shown(data: dict[str, Any], declared: needs.Needs) -> str:
    found = {**data["declares"], **({"arguments": data["arguments"]} if data["arguments"] else {})}
    declares = [f"  {name}: {', '.join(v) if isinstance(v, list) else v}" for name, v in found.items()]
    nothing = "  nothing: it may call everything that the policy allows"
    rows = [(item["function"], item["verdict"], item["rule"]) for item in data["functions"]]
    parts = [
        heading(f"{data['script']} declares"),
        *(declares or [nothing]),
        "",
        heading("and may call" if declared.functions is not None else "and may call, like every script"),
        table(rows),
    ]
    if data["files"]:
        files = [(f"line {item['line']}", item["what"]) for item in data["files"]]
        parts += ["", heading("and files"), table(files)]
    return safe("\n".join(parts))
