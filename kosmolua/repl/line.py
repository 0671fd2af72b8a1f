"""Line editing with prompt-toolkit, using `completion`, `incomplete`, `lexer` and `history`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.application.current import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER, EditingMode
from prompt_toolkit.filters import Condition, emacs_mode, has_focus, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import split_lines
from prompt_toolkit.history import History as ToolkitHistory
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

from kosmolua.errors import ConfigurationError, failure_of
from kosmolua.repl import incomplete
from kosmolua.repl.lexer import tokens

if TYPE_CHECKING:
    from kosmolua.repl.completion import Argument, Candidate, Signature
    from kosmolua.repl.history import History
    from kosmolua.repl.snapshot import Snapshot
    from kosmolua.terminal.query import Sixel

SIGNATURE_LINES = 3  # the maximum number of signature lines in the bottom toolbar
MAX_DEFAULT = 24  # the maximum characters of a default value in the toolbar
Keys = Literal["emacs", "vi"]

_STYLE = Style.from_dict(
    {
        "lua.keyword": "ansimagenta",
        "lua.string": "ansigreen",
        "lua.number": "ansicyan",
        "lua.comment": "ansibrightblack",
        "lua.error": "ansired",
        "lua.command": "ansiblue",
        "bracket": "bold underline",
        "prompt": "bold",
        "bottom-toolbar": "noreverse",
        "bottom-toolbar.text": "ansibrightblack",
    }
)


class Line:
    """Reads inputs. ``is_complete`` decides whether Enter runs the text. ``status`` returns the bottom line, which is
    shown while no call is being typed. ``warm`` loads modules after the first prompt has appeared.
    """

    def __init__(
        self,
        *,
        history: Callable[[], History],
        known: Callable[[], Snapshot],
        is_complete: Callable[[str], bool],
        status: Callable[[], str],
        warn: Callable[[str], None],
        warm: Callable[[], None],
        keys: Keys = "emacs",
    ) -> None:
        self._is_complete = is_complete
        self._status = status
        self._known = known
        self._completer = _Completer(known)
        self._session: PromptSession[str] = PromptSession(
            multiline=True,
            lexer=_Lexer(),
            completer=self._completer,
            complete_while_typing=True,
            auto_suggest=AutoSuggestFromHistory(),
            history=_History(history, warn),
            key_bindings=self._bindings(),
            input_processors=[_Brackets()],
            prompt_continuation=_continuation,
            bottom_toolbar=self._toolbar,
            enable_open_in_editor=True,
            tempfile_suffix=".lua",
            mouse_support=False,
            include_default_pygments_style=False,
            search_ignore_case=True,
            style=_STYLE,
            editing_mode=EditingMode.VI if keys == "vi" else EditingMode.EMACS,
        )
        self._left = ""  # the text of an input that was not completely read
        self._warm: Callable[[], None] | None = warm
        self._session.app.after_render += self._rendered

    def read(self, prompt: str) -> str:
        """The next input. Raises EOFError at the end of the input, and KeyboardInterrupt on Ctrl-C."""
        left, self._left = self._left, ""
        try:
            return self._session.prompt(
                [("class:prompt", prompt)], default=left, pre_run=self._begin, set_exception_handler=False
            )
        except EOFError:
            raise
        except Exception:
            self._left = self._session.default_buffer.text
            raise

    def _begin(self) -> None:
        """Let `read` raise exceptions from the processing of keys; otherwise the toolkit would print a traceback."""
        asyncio.get_running_loop().set_exception_handler(self._failed)

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        app, error = self._session.app, context.get("exception")
        if error and app.is_running and not app.is_done:
            app.exit(exception=error)

    def sixel(self) -> Sixel | None:
        """The terminal's sixel support, or None if it has none. Queries the terminal; keys typed meanwhile are kept."""
        from kosmolua.terminal import query

        answer = query.ask(os.environ)
        typed: list[KeyPress] = []
        Vt100Parser(typed.append).feed_and_flush(answer.typed.decode(errors="replace"))
        store_typeahead(self._session.input, typed)
        return answer.sixel

    @property
    def keys(self) -> Keys:
        return "vi" if self._session.editing_mode == EditingMode.VI else "emacs"

    @keys.setter
    def keys(self, keys: Keys) -> None:
        self._session.editing_mode = EditingMode.VI if keys == "vi" else EditingMode.EMACS

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        typing = has_focus(DEFAULT_BUFFER) & ~is_searching

        @bindings.add("enter", filter=typing)
        def _(event: KeyPressEvent) -> None:
            self._enter(event.current_buffer)

        @bindings.add("escape", "enter", filter=typing & emacs_mode)
        def _(event: KeyPressEvent) -> None:
            _break(event.current_buffer)

        @bindings.add("tab", filter=typing & Condition(_at_indentation))
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text(incomplete.INDENT)

        return bindings

    def _enter(self, buffer: Buffer) -> None:
        """Handle Enter: accept the selected completion, run a complete input, or begin another line."""
        state = buffer.complete_state
        if state and state.current_completion:
            buffer.complete_state = None
            return
        document = buffer.document
        at_end = not document.text_after_cursor.strip()
        if (at_end or "\n" not in buffer.text) and self._is_complete(buffer.text):
            if at_end:
                text = incomplete.straightened(buffer.text.rstrip())
                buffer.document = Document(text, len(text))
            buffer.validate_and_handle()
        else:
            _break(buffer)

    def _rendered(self, app: Application[Any]) -> None:
        warm, self._warm = self._warm, None
        if warm:
            with suppress(Exception):  # the bottom line shows the error
                warm()
                self._known().watch(self._changed)
            app.invalidate()

    def _changed(self) -> None:
        """Update the completion, since more names are known. Any thread may call this."""
        loop = self._session.app.loop
        if loop:
            with suppress(RuntimeError):  # the loop is closed between inputs
                loop.call_soon_threadsafe(self._complete_again)

    def _complete_again(self) -> None:
        app, buffer = self._session.app, self._session.default_buffer
        if not app.is_running:
            return
        app.invalidate()
        chosen = buffer.complete_state and buffer.complete_state.current_completion
        if self._completer.asked == buffer.document and not chosen:
            buffer.start_completion()

    def _toolbar(self) -> StyleAndTextTuples:
        if self._warm:
            return []
        try:
            return self._shown_signature() or [("", self._status())]
        except Exception as error:  # noqa: BLE001 - the input being typed is not lost
            return [("class:lua.error", failure_of(error, "the bottom line").message)]

    def _shown_signature(self) -> StyleAndTextTuples:
        """The signature of the call that is being typed, if any."""
        from kosmolua.repl import completion

        text = get_app().current_buffer.document.text_before_cursor
        found = completion.signature(text, self._known()) if "{" in text or "(" in text else None
        return _signature(found, get_app().output.get_size().columns) if found else []


def _break(buffer: Buffer) -> None:
    """Begin an indented line. If the current line closes a block, its indentation is reduced first."""
    before, after = buffer.document.text_before_cursor, buffer.document.text_after_cursor
    before = incomplete.straightened(before)
    text = f"{before}\n{incomplete.indent(before)}"
    buffer.document = Document(text + after, len(text))


def _at_indentation() -> bool:
    return not get_app().current_buffer.document.current_line_before_cursor.strip()


def _continuation(width: int, _line: int, _wrapped: int) -> str:
    return "… ".rjust(width)


def _signature(found: Signature, columns: int) -> StyleAndTextTuples:
    """A few lines with the function and its arguments, then a line about the argument being typed."""
    end = f" }}{' → ' if found.returns else ''}{found.returns}"
    shown: StyleAndTextTuples = [("", f"{found.name}{{ ")]
    at, lines = len(found.name) + 2, 1
    for number, each in enumerate(found.arguments):
        style = "bold underline" if each is found.current else ""
        rest = _rest(each) + (", " if number + 1 < len(found.arguments) else "")
        if at + len(each.name + rest) > columns:
            at, lines = 2, lines + 1
            if lines > SIGNATURE_LINES:
                shown.append(("", "…"))
                break
            shown.append(("", "\n  "))
        shown += [(style, each.name), ("", rest)]
        at += len(each.name + rest)
    shown.append(("", end if at + len(end) <= columns else f"\n {end}"))
    if found.current:
        shown.append(
            ("", f"\n{found.current.name}: {'. '.join(filter(None, (found.current.kind, found.current.help)))}")
        )
    return shown


def _rest(argument: Argument) -> str:
    """The text after an argument's name: `*` if the argument is required, or a short default value."""
    default = argument.default or ""
    return "*" if argument.required else f" = {default}" if 0 < len(default) <= MAX_DEFAULT else ""


class _Lexer(Lexer):
    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        text = document.text
        try:
            lines = list(split_lines(self._fragments(text)))
        except Exception:  # noqa: BLE001 - an input is not lost because of its colors
            lines = list(split_lines([("", text)]))
        return lambda number: lines[number] if number < len(lines) else []

    def _fragments(self, text: str) -> StyleAndTextTuples:
        if text.startswith((":", "?")):
            name, space, rest = text.partition(" ")
            return [("class:lua.command", name), ("", space + rest)]
        return [(f"class:lua.{token.kind}", token.text) for token in tokens(text)]


class _Brackets(Processor):
    """Highlights the pair of brackets at the cursor."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        try:
            return self._marked(transformation_input)
        except Exception:  # noqa: BLE001 - an input is not lost because of the highlight
            return Transformation(transformation_input.fragments)

    def _marked(self, transformation_input: TransformationInput) -> Transformation:
        document = transformation_input.document
        pair = incomplete.matching(document.text, document.cursor_position)
        if not pair:
            return Transformation(transformation_input.fragments)
        fragments = explode_text_fragments(transformation_input.fragments)
        for at in pair:
            row, column = document.translate_index_to_position(at)
            column = transformation_input.source_to_display(column)
            if row == transformation_input.lineno and column < len(fragments):
                style, text, *_ = fragments[column]
                fragments[column] = (f"{style} class:bracket", text)
        return Transformation(fragments)


class _Completer(Completer):
    def __init__(self, known: Callable[[], Snapshot]) -> None:
        self._known = known
        self.asked: Document | None = None  # the document of the last completion

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        self.asked = document
        try:
            found = self._found(document)
        except Exception:  # noqa: BLE001 - typing continues without completion
            return
        for item in found if complete_event.completion_requested else found[:MAX_SHOWN]:
            yield Completion(item.text, item.start, display_meta=item.about)

    def _found(self, document: Document) -> list[Candidate]:
        from kosmolua.repl import completion

        return completion.complete(document.text_before_cursor, document.text_after_cursor, self._known())


MAX_SHOWN = 200  # the maximum while typing; Tab shows all candidates


class _History(ToolkitHistory):
    def __init__(self, history: Callable[[], History], warn: Callable[[str], None]) -> None:
        super().__init__()
        self._history = history
        self._warn: Callable[[str], None] | None = warn

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._history().entries)

    def store_string(self, string: str) -> None:
        try:
            self._history().add(string)
        except ConfigurationError as error:
            if self._warn:
                self._warn(error.message)
            self._warn = None
