"""A PostgreSQL for tests: the embedded one, in a directory that its user can reach."""

import os
import shutil
import tempfile
from contextlib import contextmanager

import psycopg

from kosmolua.worker import embedded


@contextmanager
def serving():
    """The server that `kosmo worker` starts, inside this context."""
    directory = tempfile.mkdtemp(prefix="kosmo-pg-")
    os.chmod(directory, 0o755)  # PostgreSQL does not run as root
    server = embedded.Server(os.path.join(directory, "pg"))
    server.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # only the machine's end could lose something
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)
