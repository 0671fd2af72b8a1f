"""The error tree. Every error has a message, a stable code, an exit status and, if possible, a hint.

KosmoError
├── UsageError             the command line or the input is invalid                    exit 2
│   ├── ArgumentError      a function's arguments are invalid; nothing was sent        exit 2
│   └── OptionError        an option of the Python API has an invalid type or value    exit 2
├── PermissionDeniedError  the policy denied the call, or nobody could be asked        exit 3
│   └── AnswerError        a prompter returned something other than an answer          exit 3
├── ConfigurationError     a setting is missing or invalid                             exit 4
│   └── CredentialError    the token is missing or malformed                           exit 4
├── ApiError               the API returned an error; 401 is                           exit 4, else 1
├── TransportError         no complete answer was received; nothing was changed        exit 1
│   └── UncertainError     no complete answer was received; a write may have happened  exit 1
├── WebhookError           a webhook's signature or timestamp is invalid               exit 1
├── FunctionError          a Python function of the host failed                        exit 1
├── ScriptError            the Lua script failed                                       exit 1
│   └── ExitError          the script called exit with a status above 0                that status
├── WaitingError           the run waits for the decision of a person                  exit 6
├── JournalError           a journal does not match the run, or cannot be written      exit 1
├── SystemFailureError     a system resource is missing: disk space, memory            exit 1
├── OutputError            standard output cannot be written                           exit 1
├── InternalError          a bug in kosmolua                                           exit 1
└── LimitError             a limit or a budget was reached                             exit 5
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False  # importing typing takes a quarter of the sandbox process's start
if TYPE_CHECKING:
    from typing import Any

EXIT_FAILED, EXIT_USAGE, EXIT_PERMISSION, EXIT_CONFIGURATION, EXIT_LIMIT = 1, 2, 3, 4, 5
EXIT_WAITING = 6
EXIT_INTERRUPTED = 130
EXIT_OUT_OF_MEMORY = 70  # exit status of the sandbox process, which only its host sees
NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE})  # of an OSError: no file descriptors
RAISE_LIMIT = "raise the limit before the program starts (ulimit -n 8192), or run fewer scripts at once"
ONLY_EMULATED = (
    "with --emulate each command starts with a new emulator and the models of kosmo models list --emulate; "
    "to keep what is created, start an emulator of your own: kosmo emulator:serve"
)
ISSUES_URL = "https://github.com/kosmolua/kosmolua/issues"

# Stable codes for scripts, agents and shells, with the exit status of a run that fails with them.
CODES = {
    "usage": EXIT_USAGE,
    "invalid_arguments": EXIT_USAGE,
    "unknown_function": EXIT_USAGE,
    "invalid_script": EXIT_USAGE,
    "syntax_error": EXIT_FAILED,
    "permission_denied": EXIT_PERMISSION,
    "approval_required": EXIT_PERMISSION,
    "not_configured": EXIT_CONFIGURATION,
    "not_authenticated": EXIT_CONFIGURATION,
    "api_error": EXIT_FAILED,
    "not_found": EXIT_FAILED,
    "invalid_input": EXIT_FAILED,
    "rate_limited": EXIT_FAILED,
    "insufficient_credit": EXIT_FAILED,
    "server_error": EXIT_FAILED,
    "unreachable": EXIT_FAILED,
    "uncertain": EXIT_FAILED,
    "prediction_failed": EXIT_FAILED,
    "timed_out": EXIT_FAILED,
    "unknown_price": EXIT_FAILED,
    "dry_run": 0,
    "webhook_refused": EXIT_FAILED,
    "system_error": EXIT_FAILED,
    "output_failed": EXIT_FAILED,
    "internal_error": EXIT_FAILED,
    "function_failed": EXIT_FAILED,
    "script_error": EXIT_FAILED,
    "script_crashed": EXIT_FAILED,
    "exited": EXIT_FAILED,
    "journal": EXIT_FAILED,
    "limit_reached": EXIT_LIMIT,
    "interrupted": EXIT_INTERRUPTED,
    "waiting": EXIT_WAITING,
}

SIGINT = 2  # the same on all POSIX systems; importing signal takes longer than this module
_SIGNALS = {1: "SIGHUP", 15: "SIGTERM"}
EXIT_SIGNALED = 128  # plus the signal number

_FIELDS = (
    "code", "message", "function", "status", "title", "detail", "invalid_fields", "hint", "retry_after", "request_id",
    "where", "traceback",
)  # fmt: skip


class KosmoError(Exception):
    """Base class of all expected failures.

    ``code`` is one of `CODES`; ``hint`` says what to do next; ``detail`` is plain data (for an API error its problem
    document); ``function`` is the short name of the called function.
    """

    code = "api_error"
    note = ""  # an additional remark for the call log

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        detail: Any = None,
        function: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.hint = hint
        self.detail = detail
        self.function = function

    @property
    def exit_status(self) -> int:
        """The exit status of a command that fails with this error."""
        return CODES.get(self.code, EXIT_FAILED)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by fields, since the `__init__` of a subclass takes other arguments than `args`."""
        return _restored, (type(self), self.args, dict(self.__dict__))

    def to_dict(self) -> dict[str, Any]:
        """The error as plain data, without unset fields."""
        found = {name: getattr(self, name, None) for name in _FIELDS}
        return {name: value for name, value in found.items() if value is not None}


def _restored(kind: type[KosmoError], args: tuple[Any, ...], fields: dict[str, Any]) -> KosmoError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class UsageError(KosmoError):
    """The command line or the input is invalid."""

    code = "usage"


class ArgumentError(UsageError):
    """A function's arguments are invalid; nothing was sent."""

    code = "invalid_arguments"


class OptionError(UsageError, TypeError, ValueError):
    """An option of the Python API has an invalid type or value."""

    @classmethod
    def of(cls, name: str, expected: str, found: object) -> OptionError:
        """The error for an invalid option. It shows the value, so that it must not be used for secrets."""
        shown = repr(found)[:200] if isinstance(found, str | int | float | None) else type(found).__name__
        return cls(f"{name}: expected {expected}, got {shown}")


class PermissionDeniedError(KosmoError):
    """The policy denied the call, or nobody could be asked; nothing was sent."""

    code = "permission_denied"


class AnswerError(PermissionDeniedError, TypeError):
    """A prompter returned something other than an answer. The call is refused; fix the prompter."""


class ConfigurationError(KosmoError):
    """A setting is missing or invalid."""

    code = "not_configured"


class CredentialError(ConfigurationError):
    """The API token is missing or malformed."""

    code = "not_authenticated"


class ApiError(KosmoError):
    """The API returned a status outside 200 to 299.

    ``detail`` is the text of the problem document, ``invalid_fields`` its list of ``{field, description}`` if it has
    one; ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "api_error",
        title: str | None = None,
        detail: str | None = None,
        invalid_fields: list[dict[str, Any]] | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        hint: str | None = None,
        function: str | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, detail=detail, function=function)
        self.status = status
        self.title = title
        self.invalid_fields = invalid_fields
        self.retry_after = retry_after
        self.request_id = request_id


class TransportError(KosmoError):
    """No complete answer was received; nothing was changed."""

    code = "unreachable"


class UncertainError(TransportError):
    """No complete answer was received, and a write may have happened. It is not repeated automatically."""

    code = "uncertain"


class WebhookError(KosmoError):
    """A webhook is not authentic or not recent; ``reason`` is missing, malformed, signature, old or future."""

    code = "webhook_refused"

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, detail={"reason": reason})
        self.reason = reason


class FunctionError(KosmoError):
    """A function that the host was given for its scripts failed. Its exception is the ``__cause__``."""

    code = "function_failed"


class ScriptError(KosmoError):
    """A Lua script failed.

    ``where`` is the line of the script as ``name:line``, ``traceback`` the lines of its frames. An uncaught error of a
    host function keeps its code, ``status`` and ``retry_after``.
    """

    code = "script_error"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        traceback: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.where = where
        self.traceback = traceback
        self.status = status
        self.retry_after = retry_after


class ExitError(ScriptError):
    """The script called ``exit`` with a ``status`` from 1 to 255; exit status 0 is not an error."""

    code = "exited"

    def __init__(self, status: int) -> None:
        super().__init__(f"the script ended with exit({status})", status=None)
        self.exit_code = status

    @property
    def exit_status(self) -> int:
        return self.exit_code


class InterruptError(ScriptError):
    """A signal or the person at the keyboard ended the run; ``signal`` is the number."""

    code = "interrupted"

    def __init__(self, number: int = SIGINT) -> None:
        super().__init__("interrupted" if number == SIGINT else f"interrupted by {_SIGNALS.get(number, number)}")
        self.signal = number

    @property
    def exit_status(self) -> int:
        return EXIT_SIGNALED + self.signal


class Interrupted(KeyboardInterrupt):
    """A signal ends the process. Raised in the main thread, as Python does for SIGINT."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class WaitingError(KosmoError):
    """The run waits for the decision of a person: run it again with its journal when that has been made."""

    code = "waiting"


class JournalError(KosmoError):
    """A journal cannot be read or written, or does not match the calls of the script. It ends the run, or the input at
    a prompt.
    """

    code = "journal"


class LimitError(KosmoError):
    """A limit or a budget was reached; ``where`` is the line of the script, if known."""

    code = "limit_reached"
    where: str | None = None


class SystemFailureError(KosmoError):
    """The operating system could not provide what a call needed, such as disk space or memory."""

    code = "system_error"


class OutputError(KosmoError):
    """Standard output cannot be written: it is closed or full, or its reader is ``gone``, in which case nothing is
    printed.
    """

    code = "output_failed"
    gone = False


class InternalError(KosmoError):
    """A bug in kosmolua; ``detail`` is the stack, one frame per line, innermost last."""

    code = "internal_error"


_MOST_FRAMES = 20
_MOST_WORDS = 300  # the most characters of another package's exception text


def emulated(error: KosmoError) -> KosmoError:
    """The error of an emulated call, without a hint about the real API. Commands in a hint that show models get
    `--emulate`.
    """
    if error.code == "not_found" and error.hint and error.hint.startswith("check the spelling"):
        error.hint = f"{error.hint.partition(', and that')[0]}; {ONLY_EMULATED}"
    elif error.code in {"permission_denied", "approval_required"} and error.hint:
        import re

        # The refusal comes from a flag, so that configuring would not help.
        error.hint = re.sub(r", or always: kosmo [\w:]+ replicate --\w+ allow", "", error.hint)
    elif error.hint and any(word in error.hint for word in ("replicate.com", "integrations:call", "REPLICATE_")):
        error.hint = None
    elif error.hint:
        error.hint = of_emulated_models(error.hint)
    return error


def of_emulated_models(hint: str) -> str:
    """The hint, with `--emulate` for commands that show models."""
    if "kosmo model" not in hint or "--emulate" in hint:
        return hint
    import re

    return re.sub(r"kosmo (model|models (search|show)) ([\w./:-]+|'[^']*')", r"\g<0> --emulate", hint)


def failure_of(error: BaseException, doing: str) -> KosmoError:
    """The error itself if it is a `KosmoError`, else one that wraps it. ``doing`` is the function or command that
    failed.
    """
    if isinstance(error, KosmoError):
        return error
    if isinstance(error, MemoryError):
        return SystemFailureError(f"{doing}: the host is out of memory", hint="make fewer or smaller requests at once")
    if isinstance(error, FileNotFoundError) and not error.filename:  # raised by os.getcwd
        return SystemFailureError(
            f"{doing}: the current directory no longer exists", hint="change to another directory: cd ~"
        )
    if isinstance(error, OSError) and error.errno in NONE_LEFT:
        return ConfigurationError(f"{doing}: no file descriptors left", hint=RAISE_LIMIT)
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename!r}" if error.filename else ""
        return SystemFailureError(
            f"{doing}: {error.strerror}{where}",
            hint="check disk space, memory and limits: df -h; ulimit -a",
        )
    if isinstance(error, RuntimeError) and "new thread" in str(
        error
    ):  # raised by Thread.start; CPython has no type for this error
        return SystemFailureError(
            f"{doing}: {error}",
            hint="run scripts before the program ends, not in atexit; otherwise check ulimit -u and the memory",
        )
    return InternalError(
        f"{doing}: {words_of(error)}. This is a bug in kosmolua",
        hint=f"report it with the stack and the output of kosmo --version at {ISSUES_URL}",
        detail=stack_of(error),
    )


def release(error: BaseException | None) -> None:
    """Release the frames that an error and its causes were raised through, since their local variables keep memory."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            waiting += (each.__cause__, each.__context__)


def words_of(error: BaseException) -> str:
    """The type of an exception and its text, truncated."""
    text = str(error)[:_MOST_WORDS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def stack_of(error: BaseException) -> str:
    """The frames of an exception, innermost last, without directories of this machine."""
    from traceback import walk_tb

    frames = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)]
    return "\n".join(f"{_file(code.co_filename)}:{line} in {code.co_name}" for code, line in frames[-_MOST_FRAMES:])


def _file(path: str) -> str:
    _, package, rest = path.rpartition("/kosmolua/")
    return f"kosmolua/{rest}" if package else path.rpartition("/")[2]
