"""Settings with their origins. Precedence: defaults < global file < project file < environment < flags.

A project file may come from a cloned repository. Until the user trusts it, it can only tighten: change allow to ask,
ask to deny, or disable. Everything else in it is ignored and listed in `Settings.notices`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from kosmolua.errors import ConfigurationError
from kosmolua.replicate.catalogue import SERVER
from kosmolua.replicate.prices import MOST, Price, PriceError, Prices, prices_of  # noqa: F401 - Price is part of Prices
from kosmolua.settings import headers, paths
from kosmolua.settings.bounds import MAX_SIZE, excess
from kosmolua.settings.headers import Headers

Verdict = Literal["allow", "ask", "deny"]
Storage = Literal["keyring", "file"]
Period = Literal["day", "week", "month"]
VERDICTS = ("allow", "ask", "deny")
DEFAULT_ACCOUNT = "default"


def account_flag(account: str) -> str:
    """The flag that selects this account in a printed command; empty for the default account."""
    if account == DEFAULT_ACCOUNT:
        return ""
    from shlex import quote

    return f" --account {quote(account)}"


URL_VARIABLE = "REPLICATE_URL"
_MAX_REPORTED = 3  # the most unknown keys in one message, since each is compared with all known keys

T = TypeVar("T")


class Value(Struct, Generic[T], frozen=True):
    """A setting and its origin: "default", a file, "REPLICATE_URL" or a flag such as "--write"."""

    value: T
    origin: str


class Account(Struct, frozen=True):
    """Where an account's token is stored (None if not stored), its own URL and its extra headers, if any.

    ``backend`` is the class of the keyring backend with the token; storing it avoids a search.
    """

    storage: Storage | None = None
    backend: str | None = None
    url: str | None = None
    headers: Headers = {}


class Rule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rule for `kosmolua.gate.policy`: ``functions`` are globs, ``arguments`` maps names to globs."""

    verdict: Verdict
    functions: str | list[str] = "*"
    account: str | None = None
    arguments: dict[str, str | int | float | bool] = {}

    @property
    def globs(self) -> list[str]:
        return [self.functions] if isinstance(self.functions, str) else self.functions


class Allowance(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A budget over many runs: the maximum ``cost`` or number of ``predictions`` in each day, week or month.

    If given, ``account``, ``script`` (a glob for its name or path) and ``caller`` restrict which calls count. A
    ``period`` begins at midnight in the ``timezone``; a week begins on Monday.
    """

    name: str
    period: Period
    cost: Annotated[float, Meta(ge=0, le=MOST)] | None = None
    predictions: Annotated[int, Meta(ge=0, le=MOST)] | None = None
    account: str | None = None
    script: str | None = None
    caller: str | None = None
    timezone: str = "UTC"


class Directories(Struct, frozen=True, forbid_unknown_fields=True):
    """Directories that scripts may read and write if no flag names any; relative to the project of the file."""

    read: list[str] = []
    write: list[str] = []


class Approving(Struct, frozen=True, forbid_unknown_fields=True):
    """Who decides approvals, and who is notified. ``approvers`` are names of users, or "group:NAME" or "@NAME"; None
    for anybody. ``groups`` are the members of groups that the operating system does not have. ``own``: submitters may
    approve their own runs. ``act_as`` are users who may decide on behalf of others. ``notify`` is a URL, or a command
    with its arguments.
    """

    own: bool | None = None
    approvers: list[str] | None = None
    act_as: list[str] = []
    notify: str | list[str] = []
    groups: dict[str, list[str]] = {}


class Webhooks(Struct, frozen=True, forbid_unknown_fields=True):
    """``url`` is the public address of `kosmo webhooks:serve`: predictions and trainings of workers call it when they
    have ended.
    """

    url: str | None = None

    def __post_init__(self) -> None:
        if self.url is not None and not _is_public(self.url):
            raise ValueError(
                f"expected an https URL without query, such as https://hooks.example.com, got {self.url!r}"
            )


class Settings(Struct, frozen=True, kw_only=True):
    """The effective settings. ``accounts`` are the configured ones; ``notices`` list what was ignored in the files."""

    enabled: Value[bool] = Value(True, "default")
    url: Value[str] = Value(SERVER, "default")
    read: Value[str] = Value("allow", "default")
    write: Value[str] = Value("ask", "default")
    accounts: Mapping[str, Account] = {}
    rules: tuple[tuple[str, Rule], ...] = ()  # each with its origin
    numbers: Mapping[str, Mapping[int, int]] = {}  # by origin: the number in the file of a rule, if others are ignored
    prices: Prices = Prices()
    priced_in: str = ""  # the file that defines the prices
    budgets: tuple[tuple[str, Allowance], ...] = ()  # each with its origin
    directories: Directories = Directories()
    approvals: Approving = Approving()
    webhooks: Webhooks = Webhooks()
    notices: tuple[str, ...] = ()

    def url_of(self, account: str) -> Value[str]:
        """The account's own URL, else the common one."""
        own = self.accounts.get(account, Account()).url
        return Value(own, f"account {account}") if own and self.url.origin != URL_VARIABLE else self.url


DEFAULTS = Settings()


def load(
    environment: Mapping[str, str],
    *,
    read: str | None = None,
    write: str | None = None,
    directory: str | None = None,
) -> Settings:
    """The effective settings in a directory. ``read`` and ``write`` are the values of flags.

    Raises a `ConfigurationError` for an invalid file, since it may contain rules that deny.
    """
    files = (read_file(paths.global_file(environment)), _project(directory))
    settings = DEFAULTS
    if any(files):
        settings = _merged(settings, files, environment)
    url = environment.get(URL_VARIABLE, "").strip()
    changes: dict[str, Value[str]] = {
        **({"url": Value(url, URL_VARIABLE)} if url else {}),
        **({"read": Value(read, "--read")} if read else {}),
        **({"write": Value(write, "--write")} if write else {}),
    }
    return msgspec.structs.replace(settings, **changes) if changes else settings


def accounts(environment: Mapping[str, str]) -> list[str]:
    """The names of the configured accounts except the default one. Parses the file only if it mentions accounts."""
    found = read_file(paths.global_file(environment), containing=b"accounts")
    return sorted(set(found.provider.accounts) - {DEFAULT_ACCOUNT}) if found else []


# Files ------------------------------------------------------------------------------------------------------------


class Permissions(Struct, frozen=True, forbid_unknown_fields=True):
    read: Verdict | None = None
    write: Verdict | None = None


class Provider(Struct, frozen=True):
    """The section of a provider, ``[replicate]``."""

    enabled: bool | None = None
    url: str | None = None
    permissions: Permissions = Permissions()
    accounts: dict[str, Account] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    prices: Prices = Prices()
    budgets: list[Allowance] = field(default_factory=list)


class Document(Struct, frozen=True):
    replicate: Provider = Provider()
    files: Directories = Directories()
    approvals: Approving = Approving()
    webhooks: Webhooks = Webhooks()


class File(Struct, frozen=True):
    """An existing configuration file: its bytes, to compute a fingerprint, and its parsed content."""

    path: str
    content: bytes
    provider: Provider
    directories: Directories = Directories()
    approvals: Approving = Approving()
    webhooks: Webhooks = Webhooks()


def read_file(path: str, containing: bytes = b"") -> File | None:
    """The parsed file; None if it does not exist or does not contain the bytes ``containing``."""
    try:
        with open(path, "rb") as opened:
            content = opened.read(MAX_SIZE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", hint="correct it, or move it away") from None
    return parse(path, content) if containing in content else None


def parse(path: str, content: bytes) -> File:
    """Parse a configuration file. Raises a `ConfigurationError` that names the line or key."""
    import tomllib

    if beyond := excess(content):
        raise ConfigurationError(f"cannot read {path}: {beyond}", hint="make the file smaller, or move it away")
    try:
        raw, document = _parsed(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, PriceError, RecursionError) as error:
        raise ConfigurationError(
            f"cannot parse {path}: {str(error)[:1000]}",
            hint="correct it by hand, or move it away; nothing was changed",
        ) from None
    _check_keys(path, raw)
    files = _absolute(document.files, path)
    return File(path, content, document.replicate, files, document.approvals, document.webhooks)


@lru_cache(maxsize=4)  # a host reads these files for each run, and they seldom change
def _parsed(content: bytes) -> tuple[dict[str, Any], Document]:
    import tomllib

    raw = tomllib.loads(content.decode())
    return raw, _document(raw)


def _document(raw: dict[str, Any]) -> Document:
    """The document. Prices are parsed separately, since their keys are model names."""
    provider = raw.get("replicate")
    if not isinstance(provider, dict) or "prices" not in provider:
        found = msgspec.convert(raw, Document)
    else:
        rest = {name: value for name, value in provider.items() if name != "prices"}
        found = msgspec.convert({**raw, "replicate": rest}, Document)
        prices = prices_of(provider["prices"], "replicate.prices")
        found = msgspec.structs.replace(found, replicate=msgspec.structs.replace(found.replicate, prices=prices))
    check_budgets(found.replicate.budgets)
    for name, account in found.replicate.accounts.items():
        if account.headers:
            headers.check(account.headers, f"$.replicate.accounts.{name}.headers")
    return found


def check_budgets(budgets: list[Allowance]) -> None:
    """Raise a ValidationError for a budget without limits, or with an invalid or duplicate name."""
    names = [each.name for each in budgets]
    for number, each in enumerate(budgets):
        where = f"at `$.replicate.budgets[{number}]`"
        if each.cost is None and each.predictions is None:
            raise msgspec.ValidationError(f"budget {each.name!r} has neither cost nor predictions - {where}")
        if not each.name.isprintable() or not each.name.strip() or names.index(each.name) != number:
            raise msgspec.ValidationError(f"expected a unique budget name, got {each.name!r} - {where}")
        check_timezone(each.timezone, where)


def check_timezone(name: str, where: str) -> None:
    """Raise a ValidationError for an unknown time zone."""
    if name == "UTC":
        return
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        hint = "use UTC, or a name such as Europe/Berlin"
        raise msgspec.ValidationError(f"unknown time zone {name!r}; {hint} - {where}") from None


def _is_public(url: str) -> bool:
    """Whether the API can call this address. Plain HTTP is allowed only on this machine, for an emulator."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url and not (parts.query or parts.fragment)
        local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
        return bool(plain and parts.hostname and (local or parts.scheme == "https") and parts.port != 0)
    except ValueError:
        return False


def _absolute(directories: Directories, path: str) -> Directories:
    """The directories as absolute paths. Relative ones start at the parent of the configuration file's directory."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(path)))
    given = (directories.read, directories.write)
    return Directories(*([os.path.join(root, os.path.expanduser(name)) for name in names] for names in given))


def _check_keys(path: str, raw: Mapping[str, Any]) -> None:
    """Raise a `ConfigurationError` for unknown keys: a misspelled key may have been meant to deny something."""
    found = list(islice(_unknown(raw), _MAX_REPORTED + 1))
    if found:
        words = ", ".join(map(_near, found[:_MAX_REPORTED])) + (", and more" if len(found) > _MAX_REPORTED else "")
        raise ConfigurationError(
            f"{path}: unknown {words}",
            hint="correct or remove it; list the known keys: kosmo integrations:docs configuration",
        )


def _unknown(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Iterable[str]]]:
    """Unknown keys, each with its table's prefix and the keys that are known in the table."""
    provider = raw.get("replicate", {})
    tables = [("", raw, Document), ("replicate.", provider, Provider)]
    tables += [(f"replicate.accounts.{name}.", table, Account) for name, table in provider.get("accounts", {}).items()]
    for prefix, table, kind in tables:
        yield from ((prefix, name, kind.__struct_fields__) for name in table if name not in kind.__struct_fields__)


def _near(found: tuple[str, str, Iterable[str]]) -> str:
    from kosmolua.replicate.nearest import nearest

    prefix, name, known = found
    near = nearest(name, known)
    return f"key {prefix}{name}"[:200] + (f" (did you mean {near[0]}?)" if near else "")


def _project(directory: str | None) -> File | None:
    try:
        path = paths.project_file(directory or os.getcwd())
    except FileNotFoundError:  # the current directory was removed
        return None
    return read_file(path) if path else None


# Merging ----------------------------------------------------------------------------------------------------------


def _merged(settings: Settings, files: tuple[File | None, File | None], environment: Mapping[str, str]) -> Settings:
    from kosmolua.settings import trust

    own, project = files
    if own:
        settings = _overridden(settings, own, own.provider)
    if project is None:
        return settings
    if trust.is_trusted(environment, project.path, project.content):
        return _overridden(settings, project, project.provider)
    tight, dropped = tightened(settings, project)
    kept = msgspec.structs.replace(project, directories=Directories(), approvals=Approving(), webhooks=Webhooks())
    denials = [number for number, rule in enumerate(project.provider.rules, 1) if rule.verdict == "deny"]
    settings = msgspec.structs.replace(settings, numbers={project.path: dict(enumerate(denials, 1))})
    settings = _overridden(settings, kept, tight)
    notices = tuple(f"{project.path}: ignored {what}: the file is not trusted" for what in dropped)
    hint = ("to trust it: kosmo integrations:trust",) if notices else ()
    return msgspec.structs.replace(settings, notices=settings.notices + notices + hint)


def _overridden(settings: Settings, file: File, provider: Provider) -> Settings:
    """The settings overridden by those of a file."""
    permissions = provider.permissions
    given = {
        "enabled": provider.enabled,
        "url": provider.url,
        "read": permissions.read,
        "write": permissions.write,
    }
    return msgspec.structs.replace(
        settings,
        **{name: Value(value, file.path) for name, value in given.items() if value is not None},
        accounts={**settings.accounts, **provider.accounts},
        rules=settings.rules + tuple((file.path, rule) for rule in provider.rules),
        prices=provider.prices if provider.prices != Prices() else settings.prices,
        priced_in=file.path if provider.prices != Prices() else settings.priced_in,
        budgets=settings.budgets + tuple((file.path, each) for each in provider.budgets),
        directories=file.directories if file.directories != Directories() else settings.directories,
        approvals=file.approvals if file.approvals != Approving() else settings.approvals,
        webhooks=file.webhooks if file.webhooks != Webhooks() else settings.webhooks,
    )


def tightened(settings: Settings, project: File) -> tuple[Provider, list[str]]:
    """The settings with which an untrusted project file tightens others, and descriptions of its other, ignored
    settings.
    """
    given = project.provider
    dropped = [f"replicate.{name}" for name in ("url", "accounts") if getattr(given, name)]
    if given.prices != Prices():
        dropped.append("replicate.prices")
    if project.directories != Directories():
        dropped.append("files")
    if project.approvals != Approving():
        dropped.append("approvals")
    if project.webhooks != Webhooks():
        dropped.append("webhooks")
    if given.enabled and not settings.enabled.value:
        dropped.append("replicate.enabled = true")
    strict: dict[str, Any] = {}
    for access in ("read", "write"):
        wanted, now = getattr(given.permissions, access), getattr(settings, access).value
        if wanted and VERDICTS.index(wanted) >= VERDICTS.index(now):
            strict[access] = wanted
        elif wanted:
            dropped.append(f'replicate.permissions.{access} = "{wanted}" (looser than {now})')
    rules = [rule for rule in given.rules if rule.verdict == "deny"]
    if len(rules) < len(given.rules):
        dropped.append("rules that do not deny")
    enabled = False if given.enabled is False else None
    return Provider(enabled, permissions=Permissions(**strict), rules=rules, budgets=given.budgets), dropped
