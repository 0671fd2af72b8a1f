"""``integrations:policy``: list the rules, and explain which one decides a call."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from typing import Any

from kosmolua.cli import call, options, output
from kosmolua.errors import UsageError
from kosmolua.gate import policy
from kosmolua.gate.functions import resolve
from kosmolua.gate.policy import Call, Policy, Rule
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation
from kosmolua.settings import config
from kosmolua.settings.config import DEFAULT_ACCOUNT
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

_EXAMPLE = "explain replicate.create_prediction --model meta/meta-llama-3-8b-instruct"


def run(command: str, argv: list[str]) -> int:
    words = deque(argv)
    action = words.popleft() if words else "--help"
    if action in {"--help", "-h"} or {"--help", "-h"} & set(words):
        print(_help(command))
        return 0
    if action == "list":
        data = _listed(words)
    elif action == "explain":
        data = _explained(command, words)
    elif catalogue.find(action):
        data = _explained(command, deque([action, *words]))
    else:
        raise UsageError(
            f"unknown action {action!r}; expected explain or list", hint=f"for example: kosmo {command} {_EXAMPLE}"
        )
    if "--json" in argv:
        output.show_json({"success": True, **data})
    else:
        output.write_text((_show_rules if action == "list" else _show_decision)(data) + "\n")
    return 0


def _explained(command: str, words: deque[str]) -> dict[str, Any]:
    """The decision about a call, some of whose arguments may be missing."""
    if not words or words[0].startswith("-"):
        raise UsageError("missing function name", hint=f"for example: kosmo {command} {_EXAMPLE}")
    operation = resolve(words.popleft())
    facts = _derived(words)
    request = call.read(operation, words, options.Options())
    _check_names(operation, request.arguments)
    in_force = policy.policy_of(_settings(request.options))
    asked = Call(operation, request.options.account, {**request.arguments, **facts}, from_script=True)
    decision = policy.decide(in_force, asked)
    return {
        "function": operation.name,
        "access": operation.access,
        "account": asked.account,
        "verdict": decision.verdict,
        "rule": decision.rule,
        "matching": [_match(rule, doubts) for rule, doubts in policy.matching(in_force, asked)],
        "otherwise": in_force.classes[operation.access].text,
    }


def _derived(words: deque[str]) -> dict[str, str]:
    """Remove and return flags for conditions that are not arguments, such as --model."""
    found: dict[str, str] = {}
    for name in policy.DERIVED:
        for index, word in enumerate(words):
            flag, equals, value = word.partition("=")
            if flag == f"--{name}":
                del words[index]
                if not equals and index < len(words):
                    value = words[index]
                    del words[index]
                found[name] = value
                break
    return found


def _check_names(operation: Operation, given: Iterable[str]) -> None:
    names = [parameter.name for parameter in operation.parameters]
    for name in given:
        if name not in names:
            raise UsageError(
                f"{operation.name}: unknown argument {name[:100]!r}",
                hint=f"use one of {', '.join([*names, *policy.DERIVED])}",
            )


def _match(rule: Rule, doubts: list[str]) -> dict[str, Any]:
    return {"rule": rule.text, "verdict": rule.verdict, "cannot_tell": doubts}


def _settings(given: options.Options) -> config.Settings:
    return config.load(os.environ, read=given.read, write=given.write)


def _listed(words: deque[str]) -> dict[str, Any]:
    left = [word for word in words if word != "--json"]
    if left:
        raise UsageError(f"unexpected argument {left[0]!r}", hint="kosmo integrations:policy list --json")
    in_force: Policy = policy.policy_of(config.load(os.environ))
    rules = [*in_force.rules, *in_force.classes.values()]
    return {"rules": [{"rule": rule.text, "verdict": rule.verdict} for rule in rules]}


# Output -----------------------------------------------------------------------------------------------------------


def _show_decision(data: dict[str, Any]) -> str:
    account = "" if data["account"] == DEFAULT_ACCOUNT else f" on account {data['account']}"
    rows = [("", match["rule"], _doubts(match["cannot_tell"])) for match in data["matching"]]
    head = f"{data['verdict']}: {data['function']}{account}\nrule: {data['rule']}"
    matching = "\nrules that match, most specific first:\n" + table(rows, "", ("cyan",)) if rows else ""
    return safe(f"{head}{matching}\nwithout a rule: {data['otherwise']}")


def _doubts(names: list[str]) -> str:
    return f"if {' and '.join(names)} matches, which cannot be determined from these arguments" if names else ""


def _show_rules(data: dict[str, Any]) -> str:
    return safe("\n".join(rule["rule"] for rule in data["rules"]))


def _help(command: str) -> str:
    return f"""usage: kosmo {command} explain FUNCTION [JSON] [--NAME VALUE ...] [--account NAME] [--json]
       kosmo {command} list [--json]

Show which rule decides a call, without making it. Pass the arguments that rules depend on.

options:
  --model OWNER/NAME       set the model, whichever argument names it
  --deployment OWNER/NAME  set the deployment, whichever argument names it
  --account NAME           use the credentials of this account (default: default)
  --read VERDICT           set the policy for reads, as in a call
  --write VERDICT          set the policy for writes, as in a call
  --json                   print one JSON object

example:
  kosmo {command} {_EXAMPLE}"""
