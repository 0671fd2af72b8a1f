"""Tool definitions: short names, schemas that all model providers accept, and errors for agents."""

import asyncio
import json
import re

import pytest
from jsonschema import Draft202012Validator
from mcp_types import ElicitResult

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.mcp import code, hints, tools
from kosmolua.mcp.schemas import DIALECTS
from kosmolua.replicate.catalogue import OPERATIONS

LONGEST = 60  # characters of a tool name, including a client's prefix
# What OpenAI's strict mode and Gemini's function declarations accept in a parameter schema.
STRICT = {
    *{"type", "properties", "required", "additionalProperties", "description", "enum", "items", "minimum", "maximum"},
    *{"pattern", "format"},
}
GEMINI = STRICT - {"additionalProperties"}
EVERY = [(names, dialect) for names in ("short", "seed") for dialect in DIALECTS]


def definitions(names, dialect):
    single = [tools.definition(operation, names, dialect) for operation in OPERATIONS]
    return [*code.definitions(writes=True, dialect=dialect), *single]


def parts(schema):
    """The schema and all its subschemas."""
    yield schema
    for part in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        yield from parts(part)


def test_names_leave_room_for_the_prefix_of_a_client():
    """Claude Code adds the prefix `mcp__kosmolua__` to each name, and Cursor accepts at most 60 characters in total."""
    names = [tool["name"] for tool in definitions("short", "any")]

    assert LONGEST >= max(len(f"mcp__kosmolua__{name}") for name in names)
    assert all(re.fullmatch("[a-z_]+", name) for name in names)


def test_both_names_of_a_tool_are_known():
    """A client that remembers the long name of a tool can still call the tool."""
    for operation in OPERATIONS:
        for names in ("short", "seed"):
            assert operation is tools.find(tools.name_of(operation, names))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_schema_contains_keywords_that_models_refuse(dialect):
    """No client's schemas contain `not`, lookaround, `format: uri`, defaults or content encodings."""
    for tool in definitions("short", dialect):
        for part in parts(tool["inputSchema"]):
            assert part.keys() <= (GEMINI if dialect == "gemini" else STRICT), tool["name"]
            assert part.get("format") in {None, "date-time"}
            assert not re.search(r"\(\?<?[=!]", part.get("pattern", ""))
        Draft202012Validator.check_schema(tool["inputSchema"])


def test_strict_mode_requires_each_property_and_closes_each_object():
    """In strict mode each property is required, and optional properties accept null."""
    for tool in definitions("short", "openai"):
        for part in parts(tool["inputSchema"]):
            if "object" in part["type"]:
                assert (False, [*part["properties"]]) == (part["additionalProperties"], part["required"])
    strict = tools.definition(tools.find("replicate_list_models"), dialect="openai")["inputSchema"]
    assert ["string", "null"] == strict["properties"]["sort_by"]["type"]
    assert None in strict["properties"]["sort_by"]["enum"]


def test_gemini_gets_no_open_objects():
    """Gemini refuses objects without listed properties, so such an object is passed as JSON text."""
    for tool in definitions("short", "gemini"):
        for part in tool["inputSchema"]["properties"].values():
            assert "object" != part["type"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_output_schemas_are_stated(dialect):
    """Each tool states the structure of its result."""
    for tool in definitions("short", dialect):
        Draft202012Validator.check_schema(tool["outputSchema"])
        assert "object" == tool["outputSchema"]["type"]


def test_results_fit_their_output_schemas(connected, server):
    """Answers, errors and runs match the output schema, whatever the API returns."""
    server.default.body = b'{"id": 7, "more": [null]}'

    async def main():
        async with connected("--code", "--tools", "*") as client:
            stated = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
            found = []
            for name, arguments in (
                ("replicate_get_prediction", {"prediction_id": "p"}),
                ("replicate_get_prediction", {}),
                ("execute_lua", {"source": "return 1, 2"}),
                ("execute_lua", {"source": "error{}"}),
                ("execute_lua", {}),
                ("search_docs", {"query": "model"}),
                ("read_docs", {"name": "nosuch"}),
            ):
                result = await client.call_tool(name, arguments)
                found.append((stated[name], result.structured_content))
            return found

    for schema, content in asyncio.run(main()):
        Draft202012Validator(schema).validate(content)


def test_objects_and_lists_may_be_json_text(connected, server):
    """Models that cannot send open objects may send JSON text, and null for missing values."""
    server.default.body = b'{"id": "p", "status": "succeeded"}'
    given = {"version": "v", "input": '{"prompt": "é"}', "webhook_events_filter": '["output"]', "stream": None}

    async def main():
        async with connected("--write", "allow", "--client", "openai") as client:
            made = await client.call_tool("replicate_create_prediction", given)
            wrong = await client.call_tool("replicate_create_prediction", {**given, "input": "[1]"})
            return made, wrong

    made, wrong = asyncio.run(main())

    assert not made.is_error
    assert {"version": "v", "input": {"prompt": "é"}, "webhook_events_filter": ["output"]} == json.loads(
        server.requests[0].body
    )
    assert "expected an object" in wrong.content[0].text
    assert 1 == len(server.requests)


def test_a_refusal_says_what_to_report(connected):
    """An agent has no terminal, so the hint says what to report to the person."""
    script = {"source": "return replicate.create_prediction{ version = 'v', input = {} }"}

    async def main(*flags, **options):
        async with connected("--code", "--tools", "*", *flags, **options) as client:
            tool = await client.call_tool("replicate_create_prediction", {"version": "v", "input": {}})
            return tool.content[0].text, (await client.call_tool("execute_lua", script)).structured_content.get("error")

    async def refuse(*_):
        return ElicitResult(action="decline")

    text, _ = asyncio.run(main("--write", "ask", mode="legacy"))
    told, refused = asyncio.run(main("--write", "ask", mode="legacy", elicitation_callback=refuse))

    assert "this client cannot ask a person" in text
    assert "report this to the person" in text
    assert "terminal" not in text
    for words in (told, f"{refused['message']} {refused['hint']}"):
        assert "create_prediction: the person refused it" in words
        assert "do not repeat the call" in words


REPORT = "report this to the person and do not work around it; they can "
CHANGE = "change replicate.permissions.read in a.toml"


@pytest.mark.parametrize(
    ("hint", "in_code", "with_tools"),
    [
        (
            "see its parameters: kosmo integrations:replicate get_model --help",
            'see its parameters: read_docs {"name": "get_model"}',
            "see its parameters: the inputSchema of this tool",
        ),
        (
            "list all functions: kosmo integrations:replicate",
            "find functions: search_docs",
            "list the tools: tools/list",
        ),
        (
            "store one: kosmo integrations:configure replicate",
            *["report it to the person, who can store one: kosmo integrations:configure replicate"] * 2,
        ),
        (
            "allow a directory: --allow-write DIR",
            *["report this to the person and do not work around it; they can start the server with --allow-write DIR"]
            * 2,
        ),
        (
            "change rule 1 in /home/ana/config.toml, or bypass the policy: --force",
            *["report this to the person and do not work around it; they can change rule 1 in /home/ana/config.toml"]
            * 2,
        ),
        (
            f"allow it for this command: --read allow, or always: {CHANGE}, or --force",
            *[f"{REPORT}start the server with --read allow, or, if their configuration denies it, {CHANGE}"] * 2,
        ),
        ("use fewer", "use fewer", "use fewer"),
    ],
)
def test_hints_name_what_an_agent_can_do(hint, in_code, with_tools):
    """Commands in hints are replaced by tools if possible, and otherwise by what to report."""
    assert [in_code, with_tools] == [hints.reworded(hint, code=mode) for mode in (True, False)]


def test_an_error_keeps_its_other_fields():
    """Only the texts for people are changed in an error."""
    error = PermissionDeniedError(
        "f: you refused it", code="permission_denied", hint="run the command again to be asked again"
    )

    assert {
        "code": "permission_denied",
        "message": "f: the person refused it",
        "hint": "do not repeat the call unless the person asks for it",
    } == hints.fields_of(error, code=True)
    assert {"code": "usage", "message": "no"} == hints.fields_of(UsageError("no"), code=False)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_definitions_are_short(dialect):
    """At 4.3 bytes per token, code mode takes under 600 tokens of context, and all tools take under 9,000."""
    size = len(json.dumps(code.definitions(writes=True, dialect=dialect), separators=(",", ":")))
    every = [tools.definition(operation, dialect=dialect) for operation in OPERATIONS]

    assert size < 600 * 4
    assert len(json.dumps(every, separators=(",", ":"))) < 9_000 * 4
