"""Workflows run against an emulator on real sockets, with an accelerated clock."""

import threading
import time
from contextlib import ExitStack

from kosmolua.emulator import Emulator
from kosmolua.emulator.server import running
from kosmolua.gate.files import Files
from kosmolua.gate.policy import Policy, Rule
from kosmolua.gate.run import Run
from kosmolua.gate.session import Session
from kosmolua.replicate import catalogue
from kosmolua.replicate.client import Client
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.run import Script, run
from kosmolua.services.services import Services

ALLOW = Policy({access: Rule("allow", "all is allowed here") for access in ("read", "write")})


class HurryingClock:
    """The machine's clock, accelerated by a factor."""

    def __init__(self, speed):
        self._speed = speed
        self._began, self._real = time.time(), time.monotonic()

    def time(self):
        return self._began + (time.monotonic() - self._real) * self._speed

    def sleep(self, seconds):
        time.sleep(seconds / self._speed)


class Recording:
    """Wraps a WSGI application and records [method, path, status] of every request; status 0 means that no answer was
    sent."""

    def __init__(self, application):
        self._application = application
        self._lock = threading.Lock()
        self.requests = []

    def __call__(self, environ, start_response):
        request = [environ["REQUEST_METHOD"], environ["PATH_INFO"], 0]
        with self._lock:
            self.requests.append(request)

        def begin(status, headers):
            request[2] = int(status[:3])
            return start_response(status, headers)

        return self._application(environ, begin)

    def close(self):
        self._application.close()

    def count(self, method, ending):
        return sum(m == method and path.endswith(ending) for m, path, _ in self.requests)


class Printed:
    def __init__(self):
        self.text = ""

    def write(self, stream, text):
        self.text += text.decode()


class Flow:
    """Runs scripts like the command line, each in its own child, and records the server's requests."""

    def __init__(self, directory):
        self.directory = directory
        self.printed = Printed()
        self.log = []
        self.emulator = self.server = None
        self.session = None
        self._stack = ExitStack()

    def serve(self, *faults, speed=10, wrap=lambda application: application):
        self.emulator = Emulator(clock=HurryingClock(speed), faults=faults, seed="flows")
        return self.visit(self.emulator, wrap)

    def visit(self, application, wrap=lambda application: application):
        """Connects the session to this application instead of an emulator."""
        self.server = Recording(application)
        self.url = self._stack.enter_context(running(wrap(self.server)))
        return self

    def close(self):
        self._stack.close()

    def opened(self, files=None, policy=ALLOW):
        """A session for a script."""
        return Session(
            lambda _: Client(token="r8_flow", base_url=self.url), policy, run=Run(script="flow.lua", files=files)
        )

    def __call__(self, source, *, isolation="standard", policy=ALLOW, args=(), **options):
        if self.server is None:
            self.serve()
        files = Files([str(self.directory)], [str(self.directory)], str(self.directory))
        self.session = session = self.opened(files, policy)
        services = Services(files, str(self.directory), lambda: session)

        def handle(function, account, arguments):
            if function.startswith("host."):
                return services(function, arguments)
            return session.call(function, arguments, account).data

        script = Script(
            source=source.encode(), name="flow.lua", args=args, provider=catalogue.PROVIDER,
            functions=[operation.names for operation in catalogue.OPERATIONS],
        )  # fmt: skip
        with session:
            result = run(
                script, handle, self.printed, limits=Limits(cpu=60.0, time=120.0), isolation=isolation,
                lane=_lane, ending=services.end, **options,
            )  # fmt: skip
        self.log = session.log
        if result.error:
            raise result.error
        return result.results[0] if len(result.results) == 1 else result.results


def _lane(function):
    return "stream" if function == "host.follow" else "create" if function.startswith("create_") else ""
