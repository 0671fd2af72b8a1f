"""Answers clients' requests through the host, for any transport. Each tool call runs on its own thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua._version import __version__
from kosmolua.errors import KosmoError, UsageError, failure_of
from kosmolua.gate.custom import entries, texts
from kosmolua.manual import pages
from kosmolua.mcp import code, content, docs, kept, resources, tools
from kosmolua.mcp.protocol import ProtocolError, failed, invalid, unknown_method
from kosmolua.mcp.questions import answer_of
from kosmolua.mcp.runs import Given, LuaRuns
from kosmolua.mcp.schemas import Dialect
from kosmolua.mcp.tools import Names
from kosmolua.mcp.work import Crew, Current, Peer, Work
from kosmolua.replicate.catalogue import OPERATIONS
from kosmolua.settings.config import DEFAULT_ACCOUNT

if TYPE_CHECKING:
    from kosmolua.gate.ending import Unfinished
    from kosmolua.host.host import Host
    from kosmolua.host.result import Result
    from kosmolua.replicate.catalogue import Operation

MAX_AT_ONCE = 32  # the maximum number of concurrent calls
PATIENCE = 2.0  # seconds that stopped calls have to end
RETURN_AFTER = 45.0  # seconds; by default clients end a call after 60
MAX_ARGUMENTS = 16 * 1024 * 1024  # the maximum bytes of a call's arguments
INSTRUCTIONS = (
    "Replicate, behind a permission gate. Creating predictions and trainings costs money. The `hint` of an error says "
    "what to do next. If the policy refuses a call, report it to the person."
)
CODE_INSTRUCTIONS = (
    f'{INSTRUCTIONS} Do a whole task in one script with execute_lua; read_docs "workflows" explains how.'
)
INFO = {"name": "kosmolua", "title": "Replicate, by kosmolua", "version": __version__}
CAPABILITIES = {
    "tools": {"listChanged": False},
    "resources": {"listChanged": False, "subscribe": False},
    "prompts": {"listChanged": False},
}


class Options(Struct, frozen=True, kw_only=True):
    """``tools`` are globs that match the functions to expose; ``code`` enables code mode; ``max_chars`` truncates
    results. ``names`` and ``dialect`` say how tools are named and how their schemas are written; ``scripts`` exposes
    the user's kept scripts. A call returns after ``return_after`` seconds while its script continues, unless that is 0.
    ``account`` and ``emulated`` are the same as the host's.
    """

    tools: tuple[str, ...]
    code: bool
    max_chars: int
    names: Names = "short"
    dialect: Dialect = "any"
    scripts: bool = False
    return_after: float = RETURN_AFTER
    account: str = DEFAULT_ACCOUNT
    emulated: bool = False

    @property
    def instructions(self) -> str:
        return CODE_INSTRUCTIONS if self.code else INSTRUCTIONS


class Service:
    """Serves one client. ``current`` is the prompter of the host."""

    def __init__(self, host: Host, current: Current, options: Options) -> None:
        self._host = host
        self._current = current
        self._options = options
        self.instructions = options.instructions
        self._parked: dict[str, Work] = {}
        self._crew = Crew()
        account = (options.account, options.emulated)
        tool = code.EXECUTE if options.code else kept.CONTINUE
        self._runs = LuaRuns(host, account, options.max_chars, options.return_after, self._note, tool)
        self._running: list[tuple[str, str, str]] = []  # jobs that scripts created and that may still be running
        self._methods: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "tools/list": self._list_tools,
            "resources/list": lambda _: {"resources": resources.listed()},
            "resources/templates/list": lambda _: {"resourceTemplates": resources.TEMPLATES},
            "resources/read": self._read_resource,
            "prompts/list": self._list_prompts,
            "prompts/get": self._get_prompt,
        }

    @property
    def busy(self) -> bool:
        return len(self._crew) > 0 or self._runs.busy

    def stop(self) -> Unfinished:
        """Stop everything, and return the jobs that may still be running."""
        direct = self._host.leave()
        self._host.close()
        until = time.monotonic() + PATIENCE
        for work in self._crew:
            work.join(until)
        self._runs.join(until)
        self._runs.clear()
        return msgspec.structs.replace(direct, running=[*dict.fromkeys([*direct.running, *self._running])])

    def answer(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a request that is not a tool call. Raises a `ProtocolError`."""
        action = self._methods.get(method)
        if action is None:
            raise unknown_method(method)
        try:
            return action(params)
        except ProtocolError:
            raise
        except Exception as error:  # noqa: BLE001 - the client waits for an answer
            raise failed(error, method) from None

    # Calls of tools -----------------------------------------------------------------------------------------------

    def call(self, params: Mapping[str, Any], peer: Peer) -> Work:
        """Begin a tool call, or continue one that asked its client a question. Raises a `ProtocolError`."""
        state = params.get("requestState")
        if state is None:
            return self._begin(_text(params, "name"), _arguments(params), peer)
        work = self._parked.pop(state, None) if isinstance(state, str) else None
        if work is None:
            raise invalid("unknown or expired requestState; call the tool again")
        responses = params.get("inputResponses")
        work.resume(peer, answer_of(responses.get("approval")) if isinstance(responses, Mapping) else None)
        return work

    def _begin(self, name: str, arguments: dict[str, Any], peer: Peer) -> Work:
        if len(self._crew) >= MAX_AT_ONCE:
            raise invalid(f"too many calls at once: {MAX_AT_ONCE} are running; wait for one to end")
        work = Work(peer, self._parked)
        action = self._action(work, name, arguments)
        self._crew.add(work)
        try:
            work.start(action, partial(self._crew.remove, work))
        except RuntimeError:  # no further thread can be started
            self._crew.remove(work)
            raise
        return work

    def _action(self, work: Work, name: str, arguments: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        """The action of a tool call, to run on the call's thread. Raises a `ProtocolError` for an invalid call."""
        size = len(msgspec.json.encode(arguments))
        if size > MAX_ARGUMENTS:
            raise invalid(f"{name[:100]}: arguments too long: {size} bytes, at most {MAX_ARGUMENTS} are allowed")
        if self._options.scripts and name.startswith(kept.TOOL):
            action = partial(self._script, work, name, arguments)
        elif name in self._script_tools():
            action = partial(self._code, work, name, arguments)
        else:
            action = partial(self._call, work, self._operation(name), arguments)
        return partial(self._guarded, action)

    def _script_tools(self) -> Collection[str]:
        """The names of the tools that run and look up scripts, without the kept scripts that are tools themselves."""
        if self._options.code:
            return code.DEFINITIONS
        return (code.RUNS, kept.CONTINUE) if self._options.scripts else ()

    def _operation(self, name: str) -> Operation:
        operation = tools.find(name) or self._customs().get(name)
        if operation is None or not tools.is_named(operation, self._options.tools):
            raise invalid(f"unknown tool {name[:100]!r}; list the tools with tools/list")
        if operation.name not in self._callable():
            raise invalid(f"{name} is not available: the policy denies this {operation.access}")
        return operation

    def _customs(self) -> dict[str, Operation]:
        """The host's own functions, by tool name."""
        return {tools.name_of(each.operation, "short"): each.operation for each in self._host.functions.values()}

    def _callable(self) -> frozenset[str]:
        try:
            return self._host.callable()
        except KosmoError as error:
            raise failed(error, "the policy") from None

    def _guarded(self, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - every failure becomes a result
            return content.of_error(failure_of(error, "the tool"), self._options.max_chars, code=self._options.code)

    def _call(self, work: Work, operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._current.work = work
        given = tools.arguments(operation, arguments)
        data = self._host.request(operation.name, given, stop=work.stop).data
        # Lists and models contain cover images, which the client did not ask for.
        fetch = partial(self._host.fetch, stop=work.stop) if operation.job and not operation.paged else None
        return content.of_answer(data, self._options.max_chars, fetch)

    def _code(self, work: Work, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if name == kept.CONTINUE:
            return self._runs.resume(work, kept.identifier(arguments), None)
        given = code.checked(name, arguments)
        limit = self._options.max_chars
        if name == code.SEARCH:
            own = entries(self._host.functions, given["query"]) if self._host.functions else []
            found = [*own, *kept.entries(given["query"]), *pages.search(given["query"])]
            return content.of_answer({"results": found}, limit)
        if name == code.READ:
            if given["name"].startswith(kept.PREFIX):
                return content.of_answer(kept.page(given["name"]), limit)
            more = texts(self._host.functions) if self._host.functions else {}
            return content.of_answer(resources.page(given["name"], more), limit)
        if name == code.RUNS:
            if self._current.shared and "id" not in given:
                raise UsageError(
                    "runs of clients without a session cannot be listed", hint='pass an id: runs {"id": "..."}'
                )
            return self._runs.look(work, given.get("id"))
        if "id" in given:
            return self._runs.resume(work, given["id"], given.get("source"))
        return self._runs.run(work, Given(given["source"], given.get("args", [])))

    def _script(self, work: Work, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Run a kept script."""
        file, text, values = kept.prepared(name, arguments)
        return self._runs.run(work, Given(text, values, file))

    def _note(self, result: Result) -> None:
        self._running += result.running

    # Lists, resources and prompts ---------------------------------------------------------------------------------

    def _list_tools(self, _params: Mapping[str, Any]) -> dict[str, Any]:
        allowed = self._callable()
        names, dialect = self._options.names, self._options.dialect
        chosen = [operation for operation in tools.named(self._options.tools) if operation.name in allowed]
        offered = [tools.definition(operation, names, dialect) for operation in chosen]
        offered += [
            tools.custom(custom, dialect)
            for custom in self._host.functions.values()
            if custom.operation.name in allowed and tools.is_named(custom.operation, self._options.tools)
        ]
        if self._options.code:
            writes = any(operation.access == "write" and operation.name in allowed for operation in OPERATIONS)
            offered = [*code.definitions(writes=writes, dialect=dialect), *offered]
        elif self._options.scripts:
            offered = [*code.definitions(code.RUNS, dialect=dialect), kept.continuing(dialect), *offered]
        return {"tools": [*offered, *(kept.tools(dialect) if self._options.scripts else ())]}

    def _read_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return resources.read(_text(params, "uri"))
        except KosmoError as error:
            raise invalid(error.message) from None

    def _list_prompts(self, _params: Mapping[str, Any]) -> dict[str, Any]:
        described = "How to write a Replicate workflow in Lua"
        argument = {"name": "task", "description": "The task to do", "required": False}
        return {"prompts": [{"name": resources.PROMPT, "description": described, "arguments": [argument]}]}

    def _get_prompt(self, params: Mapping[str, Any]) -> dict[str, Any]:
        name = _text(params, "name")
        if name != resources.PROMPT:
            raise invalid(f"unknown prompt {name[:100]!r}; expected {resources.PROMPT}")
        task = _arguments(params).get("task")
        text = f"{docs.WORKFLOWS}\nThe task: {task}" if isinstance(task, str) and task else docs.WORKFLOWS
        return {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise invalid(f"params: expected a string - at `{name}`")
    return value


def _arguments(params: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, which may be JSON text, since some models write that."""
    given = params.get("arguments")
    found = tools.json_of(given or "{}") if isinstance(given, str) else given
    if found is None and not isinstance(given, str):
        return {}
    if not isinstance(found, dict):
        raise invalid(f"params: expected an object, got {_kind(given)} - at `arguments`")
    return found


def _kind(value: Any) -> str:
    return "text that is not JSON of one" if isinstance(value, str) else type(value).__name__
