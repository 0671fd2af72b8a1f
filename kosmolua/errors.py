"""The error tree. Every error has a stable code, says what to do next, and decides the exit status.

KosmoError
├── UsageError             the command line or the program's input is wrong            exit 2
│   ├── ArgumentError      a function's arguments are wrong; nothing was sent          exit 2
│   └── OptionError        an option of the Python API has a wrong type or value       exit 2
├── PermissionDeniedError  the policy denied the call, or nobody could be asked        exit 3
│   └── AnswerError        a prompter returned something other than an answer          exit 3
├── ConfigurationError     something is not set up                                     exit 4
│   └── CredentialError    no token, or one that cannot be                             exit 4
├── ApiError               the API answered with an error; 401 is                      exit 4, else 1
├── TransportError         no complete answer came; nothing was changed                exit 1
│   └── UncertainError     no complete answer came, and a write may have been done     exit 1
├── WebhookError           a webhook is not what its signer sent, or not from now      exit 1
├── ScriptError            the Lua script failed                                       exit 1
├── JournalError           a run's journal does not fit, or cannot be written          exit 1
├── SystemFailureError     the operating system refused something: disk, memory        exit 1
├── OutputError            standard output cannot be written                           exit 1
├── InternalError          a bug in kosmolua                                           exit 1
└── LimitError             a limit or a budget was reached                             exit 5
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself costs the isolated child a quarter of its start
if TYPE_CHECKING:
    from typing import Any

EXIT_FAILED, EXIT_USAGE, EXIT_PERMISSION, EXIT_CONFIGURATION, EXIT_LIMIT = 1, 2, 3, 4, 5
EXIT_INTERRUPTED = 130
EXIT_OUT_OF_MEMORY = 70  # how the isolated child says it, to its host alone
ISSUES_URL = "https://github.com/kosmolua/kosmolua/issues"

# What a script, an agent or a shell may compare with, and how a run that ends with it exits.
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
    "server_error": EXIT_FAILED,
    "unreachable": EXIT_FAILED,
    "uncertain": EXIT_FAILED,
    "prediction_failed": EXIT_FAILED,
    "timed_out": EXIT_FAILED,
    "webhook_refused": EXIT_FAILED,
    "system_error": EXIT_FAILED,
    "output_failed": EXIT_FAILED,
    "internal_error": EXIT_FAILED,
    "script_error": EXIT_FAILED,
    "script_crashed": EXIT_FAILED,
    "journal": EXIT_FAILED,
    "limit_reached": EXIT_LIMIT,
    "interrupted": EXIT_INTERRUPTED,
}

SIGINT = 2  # the same on every system of POSIX; importing signal takes longer than this module
_SIGNALS = {1: "SIGHUP", 15: "SIGTERM"}
EXIT_SIGNALED = 128  # and the number of the signal

_FIELDS = (
    "code", "message", "function", "status", "title", "detail", "invalid_fields", "hint", "retry_after", "request_id",
    "where", "traceback",
)  # fmt: skip


class KosmoError(Exception):
    """Any failure this package foresees.

    ``code`` is one of `CODES`; ``hint`` is the next thing to do; ``detail`` holds plain data for machines
    (for an API error its problem document); ``function`` is the short name of the function called.
    """

    code = "api_error"
    note = ""  # what the call log says besides

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
        """How a command that fails with it exits."""
        return CODES.get(self.code, EXIT_FAILED)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by the fields: the `__init__` of a subclass takes other arguments than `args` holds."""
        return _restored, (type(self), self.args, dict(self.__dict__))

    def to_dict(self) -> dict[str, Any]:
        """The error as plain data, without the fields that are not set."""
        found = {name: getattr(self, name, None) for name in _FIELDS}
        return {name: value for name, value in found.items() if value is not None}


def _restored(kind: type[KosmoError], args: tuple[Any, ...], fields: dict[str, Any]) -> KosmoError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class UsageError(KosmoError):
    """The command line or the program's input is wrong."""

    code = "usage"


class ArgumentError(UsageError):
    """A function's arguments are wrong; nothing was sent."""

    code = "invalid_arguments"


class OptionError(UsageError, TypeError, ValueError):
    """An option of the Python API has the wrong type or value."""

    @classmethod
    def of(cls, name: str, expected: str, found: object) -> OptionError:
        """The error for an option that is not as expected. Secrets are not options of this kind: the value is shown."""
        shown = repr(found)[:200] if isinstance(found, str | int | float | None) else type(found).__name__
        return cls(f"{name}: expected {expected}, got {shown}")


class PermissionDeniedError(KosmoError):
    """The policy denied the call, or nobody could be asked; nothing was sent."""

    code = "permission_denied"


class AnswerError(PermissionDeniedError, TypeError):
    """A prompter returned something other than an answer. The call is refused; the prompter needs a fix."""


class ConfigurationError(KosmoError):
    """Something is not set up."""

    code = "not_configured"


class CredentialError(ConfigurationError):
    """There is no token, or one that cannot be."""

    code = "not_authenticated"


class ApiError(KosmoError):
    """The API answered with a status outside 200 to 299.

    ``detail`` is the text of the problem document, ``invalid_fields`` its list of
    ``{field, description}`` where there is one; ``retry_after`` is in seconds.
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
    """No complete answer came; nothing was changed."""

    code = "unreachable"


class UncertainError(TransportError):
    """No complete answer came, and a write may have been done: it is not done again by itself."""

    code = "uncertain"


class WebhookError(KosmoError):
    """A webhook must not be believed; ``reason`` is one word: missing, malformed, signature, old or future."""

    code = "webhook_refused"

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, detail={"reason": reason})
        self.reason = reason


class ScriptError(KosmoError):
    """A Lua script ended with an error.

    ``where`` is the script's own line, as ``name:line``, ``traceback`` the lines of its frames. An error of a host
    function that the script did not catch keeps that error's code, ``status`` and ``retry_after``.
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


class InterruptError(ScriptError):
    """A signal ended the run, or the person at the keyboard did; ``signal`` is its number."""

    code = "interrupted"

    def __init__(self, number: int = SIGINT) -> None:
        super().__init__("interrupted" if number == SIGINT else f"interrupted by {_SIGNALS.get(number, number)}")
        self.signal = number

    @property
    def exit_status(self) -> int:
        return EXIT_SIGNALED + self.signal


class Interrupted(KeyboardInterrupt):
    """A signal asks the process to end. Raised in the main thread, as Python does for SIGINT."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class JournalError(KosmoError):
    """A journal cannot be read or written, or holds something else than the script asks for. It ends the run, or
    at a prompt the input.
    """

    code = "journal"


class LimitError(KosmoError):
    """A limit or a budget was reached; ``where`` is the script's own line, where that is known."""

    code = "limit_reached"
    where: str | None = None


class SystemFailureError(KosmoError):
    """The operating system refused something that a call needed, such as room on the disk or memory."""

    code = "system_error"


class OutputError(KosmoError):
    """Standard output cannot be written: it is closed or full, or its reader is ``gone``, which nobody is told."""

    code = "output_failed"
    gone = False


class InternalError(KosmoError):
    """A bug in kosmolua; ``detail`` holds the stack, one frame a line, innermost last."""

    code = "internal_error"


_MOST_FRAMES = 20
_MOST_WORDS = 300  # characters of a foreign exception's own text


def emulated(error: KosmoError) -> KosmoError:
    """The same error of an emulated call: without a hint that leads to the API itself, where nothing of it is."""
    if error.hint and any(word in error.hint for word in ("replicate.com", "integrations:call", "REPLICATE_")):
        error.hint = None
    return error


def failure_of(error: BaseException, doing: str) -> KosmoError:
    """The error itself if it is one of ours; otherwise the `KosmoError` that stands for it. ``doing`` is the function
    or the command that was carried out.
    """
    if isinstance(error, KosmoError):
        return error
    if isinstance(error, MemoryError):
        return SystemFailureError(f"{doing}: the host is out of memory", hint="ask for less at once")
    if isinstance(error, FileNotFoundError) and not error.filename:  # of os.getcwd
        return SystemFailureError(f"{doing}: the current directory no longer exists", hint="change to another: cd ~")
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename!r}" if error.filename else ""
        return SystemFailureError(
            f"{doing}: {error.strerror}{where}",
            hint="check the disk, the memory and the limits of this machine: df -h; ulimit -a",
        )
    if isinstance(error, RuntimeError) and "new thread" in str(error):  # of Thread.start; CPython has no type for it
        return SystemFailureError(
            f"{doing}: {error}",
            hint="run scripts before the program ends, not in atexit; otherwise check ulimit -u and the memory",
        )
    return InternalError(
        f"{doing}: {words_of(error)}. This is a bug in kosmolua",
        hint=f"report it with its stack and the output of kosmo --version at {ISSUES_URL}",
        detail=stack_of(error),
    )


def release(error: BaseException | None) -> None:
    """Let go of the frames that an error and its causes were raised through: they hold whatever their locals do."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            waiting += (each.__cause__, each.__context__)


def words_of(error: BaseException) -> str:
    """The type of an exception, and its text, bounded."""
    text = str(error)[:_MOST_WORDS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def stack_of(error: BaseException) -> str:
    """The frames that an exception passed, innermost last. They name no directory of this machine."""
    from traceback import walk_tb

    frames = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)]
    return "\n".join(f"{_file(code.co_filename)}:{line} in {code.co_name}" for code, line in frames[-_MOST_FRAMES:])


def _file(path: str) -> str:
    _, package, rest = path.rpartition("/kosmolua/")
    return f"kosmolua/{rest}" if package else path.rpartition("/")[2]
