"""The server: what the protocol asks, answered by the host. Standard output is the protocol's alone."""

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

HEARTBEAT = 5.0  # seconds after which a client that wants to know is told that a call goes on
MAX_AT_ONCE = 32  # calls
PATIENCE = 2.0  # seconds in which calls that were stopped end
MAX_ARGUMENTS = 16 * 1024 * 1024  # bytes
INSTRUCTIONS = (
    "Replicate through a permission gate. Creating predictions and trainings costs money. An error's `hint` says what "
    "to do next; what the policy refuses, tell the person."
)
CODE_INSTRUCTIONS = f'{INSTRUCTIONS} Do a whole task in one script with execute_lua; read_docs "workflows" teaches it.'
_CHOICE = {
    "type": "object",
    "properties": {
        "answer": {
            "type": "string",
            "title": "Allow it?",
            "enum": ["no", "once", "run"],
            "description": "once: this call; run: this function for the rest of the run, or of this server",
        }
    },
    "required": ["answer"],
}


class Options(Struct, frozen=True, kw_only=True):
    """``tools`` are globs of functions to offer; ``code`` offers code mode; a result is cut at ``max_chars``."""

    tools: tuple[str, ...]
    code: bool
    max_chars: int


class Service:
    """Answers a client's requests. All but the work itself is for the event loop's thread."""

    def __init__(self, host: Host, current: Current, options: Options) -> None:
        self._host = host
        self._current = current
        self._options = options
        self._asked: dict[str, Work] = {}
        self._under_way: set[Work] = set()
        self._running: list[tuple[str, str, str]] = []  # what scripts started and nobody has seen end

    def left(self) -> Left:
        """End everything, and give what may still run."""
        direct = self._host.leave()
        self._host.close()
        until = time.monotonic() + PATIENCE
        for work in self._under_way:
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
        offered = [tools.definition(operation) for operation in chosen if operation.name in allowed]
        if self._options.code:
            writes = any(operation.access == "write" and operation.name in allowed for operation in OPERATIONS)
            offered = [*code.definitions(writes=writes), *offered]
        return ListToolsResult.model_validate({"tools": offered})

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        if params.request_state is not None:
            work = self._asked.pop(params.request_state, None)
            if work is None:
                raise _invalid("nothing waits for this answer any more; call the tool again")
            work.answer(_answer(params.input_responses))
        else:
            work = self._begin(params.name, params.arguments or {})
        return await self._follow(context, work)

    def _begin(self, name: str, arguments: dict[str, Any]) -> Work:
        if len(self._under_way) >= MAX_AT_ONCE:
            raise _invalid(f"{MAX_AT_ONCE} calls are under way; wait for one of them")
        work = Work()
        work.start(self._action(work, name, arguments), partial(self._under_way.discard, work))
        self._under_way.add(work)
        return work

    def _action(self, work: Work, name: str, arguments: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        """What the call of a tool does, on the thread of the work. Raises what the protocol calls invalid."""
        size = len(msgspec.json.encode(arguments))
        if size > MAX_ARGUMENTS:
            raise _invalid(f"{name[:100]}: the arguments are {size} bytes long; at most {MAX_ARGUMENTS} are taken")
        if self._options.code and name in code.DEFINITIONS:
            action = partial(self._code, work, name, arguments)
        else:
            action = partial(self._call, work, self._operation(name), arguments)
        return partial(self._told, action)

    def _operation(self, name: str) -> Operation:
        operation = tools.find(name)
        if operation is None or operation not in tools.named(self._options.tools):
            raise _invalid(f"no tool is called {name[:100]!r}; list them with tools/list")
        if operation.name not in self._host.callable():
            raise _invalid(f"{name} is not offered: the policy denies this {operation.access}")
        return operation

    def _told(self, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - the last stop of every tool
            return content.failed(failure_of(error, "the tool"), self._options.max_chars)

    def _call(self, work: Work, operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._current.work = work
        given = tools.arguments(operation, arguments)
        data = self._host.request(operation.name, given, stop=work.stop).data
        # Of lists and models the covers would be shown, which nobody asked for.
        fetch = partial(self._host.fetch, stop=work.stop) if operation.job and not operation.paged else None
        return content.answered(data, self._options.max_chars, fetch)

    def _code(self, work: Work, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        code.check(name, arguments)
        limit = self._options.max_chars
        if name == code.SEARCH:
            return content.answered({"results": pages.search(arguments["query"])}, limit)
        if name == code.READ:
            return content.answered(resources.page(arguments["name"]), limit)
        run = self._host.script(
            arguments["source"], arguments.get("args", []), prompter=work, on_call=work.tell, stop=work.stop
        )
        shown: content.Pictures = []
        result = run.result(partial(content.add_outputs, shown))
        self._running += result.running
        return content.ran(result, limit, shown)

    # While it goes on ---------------------------------------------------------------------------------------------

    async def _follow(self, context: Context, work: Work) -> CallToolResult | InputRequiredResult:
        """Tell of the work and ask for it until it is done. It ends with the request, unless it waits for an answer."""
        progress = 0
        try:
            while True:
                news = await work.next(HEARTBEAT)
                if isinstance(news, Done):
                    return CallToolResult.model_validate(news.taken())
                if isinstance(news, Question):
                    if not _can_ask(context):
                        work.answer(None)
                    elif not context.session.can_send_request:
                        self._asked[work.id] = work
                        return InputRequiredResult.model_validate(
                            {"requestState": work.id, "inputRequests": _asking(news)}
                        )
                    else:
                        work.answer(await _elicited(context, news))
                    continue
                progress += 1
                await context.session.report_progress(progress, None, news or "still at it")
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
        described = "How to write a Replicate workflow in Lua, and what to do"
        argument = {"name": "task", "description": "What is to be done", "required": False}
        prompt = {"name": resources.PROMPT, "description": described, "arguments": [argument]}
        return ListPromptsResult.model_validate({"prompts": [prompt]})

    async def get_prompt(self, _context: Context, params: GetPromptRequestParams) -> GetPromptResult:
        if params.name != resources.PROMPT:
            raise _invalid(f"no prompt is called {params.name[:100]!r}; there is {resources.PROMPT}")
        task = (params.arguments or {}).get("task")
        text = f"{docs.WORKFLOWS}\nThe task: {task}" if task else docs.WORKFLOWS
        message = {"role": "user", "content": {"type": "text", "text": text}}
        return GetPromptResult.model_validate({"messages": [message]})


# Asking -----------------------------------------------------------------------------------------------------------


def _can_ask(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


def _message(question: Question) -> str:
    """The whole question; what a script had a hand in is escaped and cut."""
    return render(question, columns=100, rows=30).rpartition("? ")[0] + "?"


def _asking(question: Question) -> dict[str, Any]:
    params = {"mode": "form", "message": _message(question), "requestedSchema": _CHOICE}
    return {"approval": {"method": "elicitation/create", "params": params}}


async def _elicited(context: Context, question: Question) -> Answer | None:
    try:
        result = await context.session.elicit_form(_message(question), _CHOICE, context.request_id)
    except MCPError:
        return None  # the client cannot, whatever it said
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
    """Serve one client over standard input and output until it closes them. Ends the host; ``tell`` is given what it
    leaves.
    """
    service = Service(host, current, options)
    asyncio.run(_serve(service, tell))
    tell(service.left())


async def _serve(service: Service, tell: Callable[[Left], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, _end, service, tell, number)
    await wire.serve(service.server())


def _end(service: Service, tell: Callable[[Left], None], number: int) -> NoReturn:
    """End on a signal: reading standard input cannot be interrupted, and whatever runs has to end with this process."""
    tell(service.left())
    os._exit(EXIT_SIGNALED + number)
