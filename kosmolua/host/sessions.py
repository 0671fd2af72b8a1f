"""Opens the sessions of a host: one for all direct calls, and one for each script that makes calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from kosmolua.host.callbacks import quiet
from kosmolua.host.caller import CALLER
from kosmolua.host.clients import EMULATOR_URL, Clients
from kosmolua.host.events import Events
from kosmolua.host.options import HostOptions
from kosmolua.host.shared import Shared
from kosmolua.services.poller import Pollers
from kosmolua.settings import config
from kosmolua.settings.config import Verdict

if TYPE_CHECKING:
    from kosmolua.gate.approval import Asking
    from kosmolua.gate.budget import Caps
    from kosmolua.gate.custom import Custom
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.files import Files
    from kosmolua.gate.needs import Needs
    from kosmolua.gate.prompt import Prompter
    from kosmolua.gate.run import Watcher
    from kosmolua.gate.session import Session
    from kosmolua.gate.spending import PersistentBudgets
    from kosmolua.replicate.prices import Prices
    from kosmolua.runtime.run import Script


class Sessions(Struct, frozen=True, kw_only=True):
    """Opens sessions that share clients and use the current settings.

    ``given`` are the files that the options allow scripts to use, if any; ``tell`` gets notices.
    """

    options: HostOptions
    clients: Clients
    pollers: Pollers
    given: Files | None
    shared: Shared | None
    tell: Callable[[str], None]
    customs: Mapping[str, Custom]

    def open(
        self,
        script: Script | None = None,
        needs: Needs | None = None,
        prompter: Prompter | None = None,
        on_call: Callable[[Entry], None] | None = None,
        watcher: Watcher | None = None,
        files: Files | None = None,
        *,
        account: str | None = None,
        caps: Caps | None = None,
        identifier: str | None = None,
        asking: Asking | None = None,
    ) -> Session:
        """Open a session. The session's first call looks up the token and imports the client. A run may have its own
        prompter, ``files``, ``account`` and ``caps``, and wait for approvals if it is ``asking``.
        """
        from kosmolua.gate import audit, policy
        from kosmolua.gate.budget import Budget
        from kosmolua.gate.run import Run
        from kosmolua.gate.session import Session

        options, settings = self.options, self.settings()
        budget = Budget(caps or options.caps, self._prices(settings), declared=needs.caps if needs else None)
        identifier = identifier or os.urandom(6).hex()
        run = Run(identifier, script.name, needs, files or self.files()) if script else Run(identifier, options.caller)
        origin = audit.Origin(run.id, run.script, _digest(script) if script else None, options.emulate)
        log = audit.Audit(audit.file_of(os.environ), origin, self.tell)
        log.open()
        return Session(
            lambda account: self.clients.get(account, settings),
            policy.policy_of(settings),
            prompter or options.prompter,
            account=account or options.account,
            force=options.force,
            dry_run=options.dry_run,
            run=run,
            budget=budget,
            persistent=self._persistent(settings, identifier, script.name if script else None),
            audit=log,
            remember=None if options.emulate else self._remember,
            lent=True,
            on_call=on_call or self._events(run.id).calls(options.on_call),
            watcher=watcher,
            stop=lambda: CALLER.stop,
            customs=self.customs,
            asking=asking,
            webhook=self.shared.webhook if self.shared else lambda _: None,
        )

    def _events(self, run: str) -> Events:
        """The events of direct calls. A run reports its events itself."""
        told = self.options.on_event
        return Events(run, {}, [quiet(told, "on_event", self.tell)] if told else [])

    def _prices(self, settings: config.Settings) -> Callable[[], Prices]:
        """A function that reads the current prices."""
        from kosmolua.settings import pricelist

        if not self.options.emulate:
            return lambda: pricelist.in_force(settings, os.environ)
        return lambda: pricelist.in_force(config.load(os.environ), os.environ)  # so that costs can be rehearsed

    def _persistent(self, settings: config.Settings, run: str, script: str | None) -> PersistentBudgets | None:
        """The persistent budgets, if there are any. Imports SQLite only if needed."""
        if not settings.budgets or self.options.dry_run:
            return None
        from kosmolua.gate.ledger import Ledger, Origin, file_of
        from kosmolua.gate.spending import PersistentBudgets

        budgets = [budget for _, budget in settings.budgets]
        ledger = self.shared.ledger() if self.shared else Ledger(file_of(os.environ))
        return PersistentBudgets(budgets, ledger, Origin(run, script, self.options.caller), self.tell)

    def files(self, own: Sequence[tuple[str, str]] = (), record: str | None = None) -> Files:
        """The directories that a script may use: those in the options, otherwise those in the settings. ``own`` are
        files of the run that the script may not use, each with a description. The files that the script writes are
        recorded in the file ``record``.
        """
        from kosmolua.gate.files import Files

        if self.given:
            return self.given.of_run(own, record)
        said = config.load(os.environ).directories
        return Files(said.read, said.write).of_run(own, record)

    def settings(self) -> config.Settings:
        """The current settings, with the options applied."""
        if self.options.emulate:
            return emulated_settings(self.options.read, self.options.write)
        settings = config.load(os.environ, **self._verdicts())
        for notice in settings.notices:
            self.tell(notice)
        return settings

    def _verdicts(self) -> dict[str, Verdict | None]:
        """The verdicts in the options. If ``yielding`` is set, an "allow" applies only if the settings have no
        verdict.
        """
        said = {"read": self.options.read, "write": self.options.write}
        if not self.options.yielding or "allow" not in said.values():
            return said
        plain = config.load(os.environ)
        return {
            access: None if verdict == "allow" and getattr(plain, access).origin != "default" else verdict
            for access, verdict in said.items()
        }

    def _remember(self, rule: config.Rule) -> None:
        from kosmolua.settings.edit import add_rule

        path = add_rule(rule, os.environ)
        self.tell(f"wrote the rule into {path}")


def emulated_settings(read: Verdict | None, write: Verdict | None) -> config.Settings:
    """The settings of the emulator, which costs nothing: everything is allowed unless denied."""
    return config.Settings(
        url=config.Value(EMULATOR_URL, "--emulate"),
        read=config.Value(read or "allow", "--read" if read else "emulator"),
        write=config.Value(write or "allow", "--write" if write else "emulator"),
    )


def _digest(script: Script) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(script.source).hexdigest()}"
