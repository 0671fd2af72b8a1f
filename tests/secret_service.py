"""A real Secret Service for tests: D-Bus and gnome-keyring on a separate bus, unlocked with a password."""

import os
import shutil
import signal
import subprocess
import sys

from waiting import wait_until

PROGRAMS = ("dbus-daemon", "gnome-keyring-daemon")
PASSWORD = b"a password of the tests"
_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={home}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""
_LOCK = """
import secretstorage
collection = secretstorage.get_default_collection(secretstorage.dbus_init())
collection.lock()
assert collection.is_locked()
"""


def missing():
    return [program for program in PROGRAMS if not shutil.which(program)]


class SecretService:
    """A running service. ``environment`` has the variables that a program needs to find it. The bus starts no other
    service, so nothing prompts the user."""

    def __init__(self, home):
        configuration = home / "bus.conf"
        configuration.write_text(_CONFIGURATION.format(home=home))
        self._bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        address = self._bus.stdout.readline().decode().strip()
        self.environment = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "DBUS_SESSION_BUS_ADDRESS": address,
            "PATH": os.environ["PATH"],
        }
        self._daemon = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )
        self._daemon.stdin.write(PASSWORD)
        self._daemon.stdin.close()
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        code = "import secretstorage as s; exit(not s.check_service_availability(s.dbus_init()))"
        wait_until(lambda: self._python(code) == 0)

    def lock(self):
        assert 0 == self._python(_LOCK)

    def close(self):
        for process in (self._daemon, self._bus):
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        self._bus.stdout.close()

    def _python(self, code):
        return subprocess.run([sys.executable, "-c", code], check=False, env=self.environment, timeout=30).returncode
