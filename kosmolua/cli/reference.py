"""Describe functions: list, search, docs, schema, examples, fields. These commands use no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options
from kosmolua.cli.output import show_json, write_text
from kosmolua.cli.providers import check_provider, near
from kosmolua.errors import UsageError
from kosmolua.manual import reference
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import PROVIDER, Operation
from kosmolua.replicate.token import looks_like_token
from kosmolua.terminal.text import heading, table, wrapped

if TYPE_CHECKING:
    import argparse

    from kosmolua.manual.index import Found

_FUNCTION = f"{PROVIDER}.get_prediction"


def run(command: str, argv: list[str]) -> int:
    """Run one of the commands. ``--json`` prints one object with ``success``, except for schema."""
    parse, answer, show = _COMMANDS[command]
    parsed = parse(command).parse_args(argv)
    data = answer(parsed)
    if parsed.json and not getattr(parsed, "markdown", False):
        show_json(data)
    else:
        write_text(show(data, parsed).rstrip("\n") + "\n")
    return 0


def function_help(operation: Operation, command: str) -> str:
    """The text for ``kosmo COMMAND FUNCTION --help``."""
    from kosmolua.manual.page import brief

    return brief(reference.page(operation), command)


# Names ------------------------------------------------------------------------------------------------------------


def find(name: str) -> Operation:
    """The operation of that name. Raises a `UsageError` that suggests the nearest ones."""
    operation = catalogue.find(name)
    if operation:
        return operation
    from kosmolua.gate.functions import resolve

    return resolve(name)


# List -------------------------------------------------------------------------------------------------------------


def _list_parser(command: str) -> argparse.ArgumentParser:
    made = _parser(command, "List the providers, or the functions of one.", "--json")
    made.add_argument(
        "provider", nargs="?", metavar="PROVIDER", help=f"list the functions of this provider: {PROVIDER}"
    )
    return made


def _list(parsed: argparse.Namespace) -> dict[str, Any]:
    if parsed.provider is None:
        return {"success": True, "count": 1, "providers": [reference.provider()]}
    check_provider(parsed.provider)
    functions = reference.overview()["functions"]
    return {"success": True, "provider": PROVIDER, "count": len(functions), "functions": functions}


def _show_list(data: dict[str, Any], _: argparse.Namespace) -> str:
    if "functions" in data:
        return _function_table(data["functions"])
    rows = [
        (item["provider"], f"{item['count']['functions']} functions", item["summary"]) for item in data["providers"]
    ]
    return table(rows, indent="")


def _function_table(functions: list[dict[str, Any]], indent: str = "") -> str:
    return table(((item["name"], item["access"], item["summary"]) for item in functions), indent)


# Search -----------------------------------------------------------------------------------------------------------


_MOST_COMMANDS = 5
_MODELS = "To search models: kosmo models search WORDS"


def _search_parser(command: str) -> argparse.ArgumentParser:
    made = _parser(
        command,
        "Search API functions, script helpers, topics and commands, by name or by what they do. Print the "
        "best match first.",
        '"cancel prediction" --json',
    )
    made.add_argument("query", nargs="+", metavar="QUERY", help="words to search for")
    made.add_argument("--limit", type=_positive, metavar="N", help="show at most N results")
    return made


def _positive(text: str) -> int:
    import argparse

    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _search(parsed: argparse.Namespace) -> dict[str, Any]:
    from kosmolua.manual import index

    query = " ".join(parsed.query).strip().encode(errors="replace").decode()  # arguments may be invalid UTF-8
    if not query:
        raise UsageError("the query is empty", hint='for example: kosmo integrations:search "cancel prediction"')
    found = index.find(query)
    return {
        "success": True,
        "query": query,
        "count": len(found),
        "results": [_result(each) for each in found[: parsed.limit]],
        "commands": _commands(query)[: parsed.limit or _MOST_COMMANDS],
    }


def _commands(query: str) -> list[dict[str, str]]:
    """The commands whose names and summaries contain all words of the query, best match first."""
    from kosmolua.cli import COMMANDS
    from kosmolua.manual.search import MAX_QUERY, words_of, worth

    words = words_of(query[:MAX_QUERY])
    found = []
    for name, (_, what) in COMMANDS.items():
        scores = [worth(word, frozenset(words_of(name)), frozenset(words_of(what)), frozenset()) for word in words]
        if scores and all(scores):
            found.append((-sum(scores), {"command": f"kosmo {name}", "summary": what}))
    return [command for _, command in sorted(found, key=lambda each: each[0])]


def _result(found: Found) -> dict[str, Any]:
    """A search result as data: a function as in the list of functions, a helper or topic as a page of that kind."""
    about = {"match": found.match, "score": found.score}
    if found.hit:
        return {**reference.summary(found.hit.operation), **about}
    page = found.page
    return (
        {"page": page.name, "name": page.name, "access": page.kind, "summary": page.summary, **about} if page else about
    )


def _show_search(data: dict[str, Any], _: argparse.Namespace) -> str:
    pages = _shown_pages(data)
    if not data["commands"]:
        return pages
    rows = [(each["command"], each["summary"]) for each in data["commands"]]
    commands = f"{heading('commands')}\n{table(rows)}"
    return f"{pages}\n\n{commands}" if data["results"] else commands


def _shown_pages(data: dict[str, Any]) -> str:
    if not data["results"]:
        return f"nothing found for {data['query']!r}; list all functions: kosmo integrations:list {PROVIDER}\n{_MODELS}"
    is_topic = all(each["access"] == "topic" for each in data["results"])
    is_weak = data["results"][0]["match"] == "text"  # the query may describe a model
    return _function_table(data["results"]) + (f"\n{_MODELS}" if is_topic or is_weak else "")


# Docs -------------------------------------------------------------------------------------------------------------


def _docs_parser(command: str) -> argparse.ArgumentParser:
    made = _parser(
        command,
        "Show the documentation of a function, a script helper, the provider or a topic.",
        f"{_FUNCTION} --json",
    )
    made.add_argument(
        "page", nargs="?", metavar="PAGE", help=f"{PROVIDER}, {PROVIDER}.FUNCTION, or the name of a helper or topic"
    )
    made.add_argument("--markdown", action="store_true", help="print Markdown")
    return made


def _docs(parsed: argparse.Namespace) -> dict[str, Any]:
    from kosmolua.manual.topics import title, topics

    name = parsed.page
    pages = topics()
    if name is None:
        return {"success": True, "providers": [reference.provider()], "pages": _contents(pages)}
    if name == PROVIDER:
        return {"success": True, **reference.overview(), "fields": list(reference.FIELDS), "pages": _contents(pages)}
    if name in pages:
        return {"success": True, "page": name, "title": title(pages[name]), "text": pages[name]}
    if catalogue.find(name) is None and (helper := _helper(name)):
        return {"success": True, "page": helper, **_helper_page(helper, plain=parsed.json or parsed.markdown)}
    page = reference.page(_documented(name))
    statuses = page.pop("success")
    return {"success": True, **page, "statuses": statuses}


def _helper(name: str) -> str | None:
    """The page name of a helper, which may have the prefix that scripts write, such as ``replicate.``."""
    from kosmolua.manual import stubs

    short = name.removeprefix("integrations.").removeprefix(f"{PROVIDER}.")
    return short if short in stubs.summaries() else None


def _helper_page(name: str, *, plain: bool) -> dict[str, str]:
    from kosmolua.manual import helper_page, pages, stubs

    text = pages.read(name) if plain else helper_page.page(name)
    return {"title": stubs.summaries()[name], "text": text or ""}


def _helper_names() -> list[str]:
    from kosmolua.manual import stubs

    return sorted(stubs.summaries())


def _contents(pages: dict[str, str]) -> list[dict[str, str]]:
    from kosmolua.manual.topics import title

    return [{"page": name, "title": title(text)} for name, text in pages.items()]


def _documented(name: str) -> Operation:
    """The operation of that name. The error for an unknown name also suggests pages."""
    if catalogue.find(name) is None and "." not in name and not looks_like_token(name):
        about = topics_about(name)
        meant = f"; did you mean {about[0]}?" if about else near(name, page_names())
        raise UsageError(
            f"unknown page {name[:100]!r}: no function, helper or topic has this name{meant}",
            code="unknown_function",
            hint="list the pages: kosmo integrations:docs",
        )
    return find(name)


def topics_about(query: str) -> list[str]:
    """The names of the topics about these words, best first."""
    from kosmolua.manual import index

    return [] if looks_like_token(query) else index.topics_about(query)


def has_page(name: str) -> bool:
    """Whether `integrations:docs` has a page of this name."""
    return name in page_names() or bool(catalogue.find(name) or _helper(name))


def page_names() -> list[str]:
    """The names of all pages, the shortest form of each."""
    from kosmolua.manual.topics import topics

    return [PROVIDER, *topics(), *_helper_names(), *(operation.name for operation in catalogue.OPERATIONS)]


def _show_docs(data: dict[str, Any], parsed: argparse.Namespace) -> str:
    from kosmolua.manual.page import markdown, reference_markdown, shown

    if "function" in data:
        return markdown(data) if parsed.markdown else shown(data)
    if "text" in data:
        return str(data["text"])
    if parsed.markdown and "functions" in data:
        from kosmolua.manual.stubs import summaries

        return reference_markdown(data, [reference.page(each) for each in catalogue.OPERATIONS], summaries())
    contents = f"{heading('topics')}\n{table((page['page'], page['title']) for page in data['pages'])}"
    contents += f"\n\n{heading('script helpers')}\n{wrapped(', '.join(_helper_names()), '  ')}"
    if "functions" not in data:
        rows = ((item["provider"], item["summary"]) for item in data["providers"])
        return f"{heading('providers')}\n{table(rows)}\n\n{contents}\n\nShow one: kosmo integrations:docs NAME"
    functions = f"{heading('functions')}\n{_function_table(data['functions'], '  ')}"
    top = f"{heading(data['title'])}  {data['server']}\n{wrapped(data['summary'])}"
    more = f"Show one function: kosmo integrations:docs {_FUNCTION}"
    return "\n\n".join([top, functions, f"{heading('credentials')}\n{_field_table(data['fields'])}", contents, more])


# Schema, examples, fields -----------------------------------------------------------------------------------------


def _function_parser(command: str) -> argparse.ArgumentParser:
    what = {
        "integrations:schema": "Print the JSON Schema (2020-12) of a function's arguments.",
        "integrations:examples": "Show an example of a function for each interface: command line, JSON, Lua.",
    }
    made = _parser(command, what[command], f"{_FUNCTION} --json")
    made.add_argument("function", metavar="FUNCTION", help=f"name of the function, such as {_FUNCTION}")
    return made


def _schema(parsed: argparse.Namespace) -> dict[str, Any]:
    parsed.json = True
    return reference.schema(find(parsed.function))


def _examples(parsed: argparse.Namespace) -> dict[str, Any]:
    operation = find(parsed.function)
    name = f"{PROVIDER}.{operation.full_name}"
    return {"success": True, "function": name, "examples": reference.examples(operation)}


def _show_examples(data: dict[str, Any], _: argparse.Namespace) -> str:
    from kosmolua.manual.page import INTERFACES

    return "\n\n".join(f"{heading(title)}\n{data['examples'][interface]}" for interface, title in INTERFACES.items())


def _fields_parser(command: str) -> argparse.ArgumentParser:
    made = _parser(command, "List a provider's configuration fields.", f"{PROVIDER} --json")
    made.add_argument(
        "provider", nargs="?", default=PROVIDER, metavar="PROVIDER", help=f"provider to show (default: {PROVIDER})"
    )
    return made


def _fields(parsed: argparse.Namespace) -> dict[str, Any]:
    check_provider(parsed.provider)
    return {"success": True, "provider": PROVIDER, "fields": list(reference.FIELDS)}


def _show_fields(data: dict[str, Any], _: argparse.Namespace) -> str:
    return _field_table(data["fields"], "")


def _field_table(fields: list[dict[str, Any]], indent: str = "  ") -> str:
    rows = [
        (field["key"], field["env"], field["type"] + (", required" if field["required"] else ""), _field_text(field))
        for field in fields
    ]
    return table(rows, indent)


def _field_text(field: dict[str, Any]) -> str:
    default = f" (default: {field['default']})" if "default" in field else ""
    return f"{field['label']}. {field['description']}{default}"


def _parser(command: str, what: str, example: str) -> argparse.ArgumentParser:
    made = options.parser(command, what, f"kosmo {command} {example}")
    options.add_json(made)
    return made


def _as_json(data: dict[str, Any], _: argparse.Namespace) -> str:
    from kosmolua.cli.output import to_json

    return to_json(data)


_Parse = Callable[[str], "argparse.ArgumentParser"]
_Answer = Callable[["argparse.Namespace"], dict[str, Any]]
_Show = Callable[[dict[str, Any], "argparse.Namespace"], str]
_COMMANDS: dict[str, tuple[_Parse, _Answer, _Show]] = {
    "integrations:list": (_list_parser, _list, _show_list),
    "integrations:search": (_search_parser, _search, _show_search),
    "integrations:docs": (_docs_parser, _docs, _show_docs),
    "integrations:schema": (_function_parser, _schema, _as_json),
    "integrations:examples": (_function_parser, _examples, _show_examples),
    "integrations:fields": (_fields_parser, _fields, _show_fields),
}
