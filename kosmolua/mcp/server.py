"""The MCP server: it answers requests with the host. Standard output carries only protocol messages."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    ReadResourceResult,
)
from msgspec import Struct

from kosmolua._version import __version__
from kosmolua.errors import EXIT_SIGNALED, KosmoError, failure_of
from kosmolua.gate.prompt import Answer, Question, render
from kosmolua.manual import pages
from kosmolua.mcp import code, content, docs, resources, tools, wire
from kosmolua.mcp.schemas import Dialect
from kosmolua.mcp.tools import Names
from kosmolua.mcp.work import Current, Done, Work
from kosmolua.replicate.catalogue import OPERATIONS

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import (
        CallToolRequestParams,
        GetPromptRequestParams,
        PaginatedRequestParams,
        ReadResourceRequestParams,
    )

    from kosmolua.gate.ending import Left
    from kosmolua.host.host import Host
    from kosmolua.replicate.catalogue import Operation

    Context = ServerRequestContext[Any, Any]

HEARTBEAT = 5.0  # seconds between progress notifications while a call runs
MAX_AT_ONCE = 32  # calls
PATIENCE = 2.0  # seconds for stopped calls to end
MAX_ARGUMENTS = 16 * 1024 * 1024  # bytes
INSTRUCTIONS = (
    "Replicate, behind a permission gate. Creating predictions and trainings costs money. The `hint` of an error says "
    "what to do next. If the policy refuses a call, report it to the person."
)
CODE_INSTRUCTIONS = (
    f'{INSTRUCTIONS} Do a whole task in one script with execute_lua; read_docs "workflows" explains how.'
)
_CHOICE = {
    "type": "object",
    "properties": {
        "answer": {
            "type": "string",
            "title": "Allow this call?",
            "enum": ["no", "once", "run"],
            "description": "once: this call only; run: this function until the run, or this server, ends",
        }
    },
    "required": ["answer"],
}


class Options(Struct, frozen=True, kw_only=True):
    """``tools`` are globs of functions to expose; ``code`` enables code mode; ``max_chars`` truncates results.
    ``names`` and ``dialect`` are how tools and their schemas are written.
    """

    tools: tuple[str, ...]
    code: bool
    max_chars: int
    names: Names = "short"
    dialect: Dialect = "any"


class Service:
    """Answers the requests of a client on the event loop's thread. Calls of tools run on their own threads."""

    def __init__(self, host: Host, current: Current, options: Options) -> None:
        self._host = host
        self._current = current
        self._options = options
        self._asked: dict[str, Work] = {}
        self._active: set[Work] = set()
        self._running: list[tuple[str, str, str]] = []  # jobs that scripts created and that may still run

    def left(self) -> Left:
        """Stop everything, and return what may still run."""
        direct = self._host.leave()
        self._host.close()
        until = time.monotonic() + PATIENCE
        for work in self._active:
            work.join(until)
        return msgspec.structs.replace(direct, running=[*dict.fromkeys([*direct.running, *self._running])])

    def server(self) -> Server[Any]:
        return Server(
            "kosmolua",
            version=__version__,
            title="Replicate, by kosmolua",
            instructions=CODE_INSTRUCTIONS if self._options.code else INSTRUCTIONS,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_templates,
            on_read_resource=self.read_resource,
            on_list_prompts=self.list_prompts,
            on_get_prompt=self.get_prompt,
        )

    # Tools --------------------------------------------------------------------------------------------------------

    async def list_tools(self, _context: Context, _params: PaginatedRequestParams | None) -> ListToolsResult:
        allowed = self._host.callable()
        chosen = tools.named(self._options.tools)
        names, dialect = self._options.names, self._options.dialect
        offered = [tools.definition(operation, names, dialect) for operation in chosen if operation.name in allowed]
        if self._options.code:
            writes = any(operation.access == "write" and operation.name in allowed for operation in OPERATIONS)
            offered = [*code.definitions(writes=writes, dialect=dialect), *offered]
        return ListToolsResult.model_validate({"tools": offered})

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        if params.request_state is not None:
            work = self._asked.pop(params.request_state, None)
            if work is None:
                raise _invalid("unknown or expired requestState; call the tool again")
            work.answer(_answer(params.input_responses))
        else:
            work = self._begin(params.name, params.arguments or {})
        return await self._follow(context, work)

    def _begin(self, name: str, arguments: dict[str, Any]) -> Work:
        if len(self._active) >= MAX_AT_ONCE:
            raise _invalid(f"too many calls at once: {MAX_AT_ONCE} are running; wait for one to end")
        work = Work()
        work.start(self._action(work, name, arguments), partial(self._active.discard, work))
        self._active.add(work)
        return work

    def _action(self, work: Work, name: str, arguments: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        """The action of a tool call, to run on its thread. Raises an `MCPError` for an invalid call."""
        size = len(msgspec.json.encode(arguments))
        if size > MAX_ARGUMENTS:
            raise _invalid(f"{name[:100]}: arguments too long: {size} bytes, at most {MAX_ARGUMENTS} are allowed")
        if self._options.code and name in code.DEFINITIONS:
            action = partial(self._code, work, name, arguments)
        else:
            action = partial(self._call, work, self._operation(name), arguments)
        return partial(self._guarded, action)

    def _operation(self, name: str) -> Operation:
        operation = tools.find(name)
        if operation is None or operation not in tools.named(self._options.tools):
            raise _invalid(f"unknown tool {name[:100]!r}; list the tools with tools/list")
        if operation.name not in self._host.callable():
            raise _invalid(f"{name} is not available: the policy denies this {operation.access}")
        return operation

    def _guarded(self, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - every failure becomes a result
            return content.of_error(failure_of(error, "the tool"), self._options.max_chars, code=self._options.code)

    def _call(self, work: Work, operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._current.work = work
        given = tools.arguments(operation, arguments)
        data = self._host.request(operation.name, given, stop=work.stop).data
        # Lists and models contain cover images, which were not asked for.
        fetch = partial(self._host.fetch, stop=work.stop) if operation.job and not operation.paged else None
        return content.of_answer(data, self._options.max_chars, fetch)

    def _code(self, work: Work, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        given = code.checked(name, arguments)
        limit = self._options.max_chars
        if name == code.SEARCH:
            return content.of_answer({"results": pages.search(given["query"])}, limit)
        if name == code.READ:
            return content.of_answer(resources.page(given["name"]), limit)
        run = self._host.script(
            given["source"], given.get("args", []), prompter=work, on_call=work.report, stop=work.stop
        )
        shown: content.Pictures = []
        result = run.result(partial(content.add_outputs, shown))
        self._running += result.running
        return content.of_run(result, limit, shown)

    # Progress -----------------------------------------------------------------------------------------------------

    async def _follow(self, context: Context, work: Work) -> CallToolResult | InputRequiredResult:
        """Report progress and ask questions until the work is done. It ends with the request, unless it waits for an
        answer.
        """
        progress = 0
        try:
            while True:
                event = await work.next(HEARTBEAT)
                if isinstance(event, Done):
                    return CallToolResult.model_validate(event.unwrap())
                if isinstance(event, Question):
                    if not _can_ask(context):
                        work.answer(None)
                    elif not context.session.can_send_request:
                        self._asked[work.id] = work
                        return InputRequiredResult.model_validate(
                            {"requestState": work.id, "inputRequests": _asking(event)}
                        )
                    else:
                        work.answer(await _elicited(context, event))
                    continue
                progress += 1
                await context.session.report_progress(progress, None, event or "still running")
        except BaseException:
            work.cancel()
            raise

    # Resources and prompts ----------------------------------------------------------------------------------------

    async def list_resources(self, _context: Context, _params: PaginatedRequestParams | None) -> ListResourcesResult:
        return ListResourcesResult.model_validate({"resources": resources.listed()})

    async def list_templates(
        self, _context: Context, _params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult.model_validate({"resourceTemplates": resources.TEMPLATES})

    async def read_resource(self, _context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        try:
            return ReadResourceResult.model_validate(resources.read(params.uri))
        except KosmoError as error:
            raise _invalid(error.message) from None

    async def list_prompts(self, _context: Context, _params: PaginatedRequestParams | None) -> ListPromptsResult:
        described = "How to write a Replicate workflow in Lua"
        argument = {"name": "task", "description": "The task to do", "required": False}
        prompt = {"name": resources.PROMPT, "description": described, "arguments": [argument]}
        return ListPromptsResult.model_validate({"prompts": [prompt]})

    async def get_prompt(self, _context: Context, params: GetPromptRequestParams) -> GetPromptResult:
        if params.name != resources.PROMPT:
            raise _invalid(f"unknown prompt {params.name[:100]!r}; expected {resources.PROMPT}")
        task = (params.arguments or {}).get("task")
        text = f"{docs.WORKFLOWS}\nThe task: {task}" if task else docs.WORKFLOWS
        message = {"role": "user", "content": {"type": "text", "text": text}}
        return GetPromptResult.model_validate({"messages": [message]})


# Questions --------------------------------------------------------------------------------------------------------


def _can_ask(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


def _message(question: Question) -> str:
    """The text of the question, with parts from the script escaped and truncated."""
    return render(question, columns=100, rows=30).rpartition("? ")[0] + "?"


def _asking(question: Question) -> dict[str, Any]:
    params = {"mode": "form", "message": _message(question), "requestedSchema": _CHOICE}
    return {"approval": {"method": "elicitation/create", "params": params}}


async def _elicited(context: Context, question: Question) -> Answer | None:
    try:
        result = await context.session.elicit_form(_message(question), _CHOICE, context.request_id)
    except MCPError:
        return None  # the client cannot ask, although it announced that it can
    return _chosen(result)


def _answer(responses: Mapping[str, Any] | None) -> Answer | None:
    given = (responses or {}).get("approval")
    return _chosen(given) if given is not None else None


def _chosen(result: Any) -> Answer | None:
    chosen = (getattr(result, "content", None) or {}).get("answer")
    accepted = getattr(result, "action", None) == "accept"
    if accepted and chosen == "once":
        return "once"
    return "run" if accepted and chosen == "run" else "no"


def _invalid(message: str) -> MCPError:
    return MCPError(code=INVALID_PARAMS, message=message)


# Serving ----------------------------------------------------------------------------------------------------------


def serve(host: Host, current: Current, options: Options, tell: Callable[[Left], None]) -> None:
    """Serve one client over standard input and output until it closes them, and close the host. ``tell`` gets what may
    still run.
    """
    service = Service(host, current, options)
    asyncio.run(_serve(service, tell))
    tell(service.left())


async def _serve(service: Service, tell: Callable[[Left], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, _end, service, tell, number)
    await wire.serve(service.server())


def _end(service: Service, tell: Callable[[Left], None], number: int) -> NoReturn:
    """Exit on a signal, since reading standard input cannot be interrupted."""
    tell(service.left())
    os._exit(EXIT_SIGNALED + number)
