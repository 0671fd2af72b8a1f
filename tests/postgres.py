"""A PostgreSQL for tests: the embedded one, in a directory that its user can reach."""

import os
import shutil
import tempfile
from contextlib import contextmanager

import psycopg

from kosmolua.worker import embedded
from kosmolua.worker.database import Database


@contextmanager
def serving():
    """The server that `kosmo worker` starts, inside this context."""
    directory = tempfile.mkdtemp(prefix="kosmo-pg-")
    os.chmod(directory, 0o755)  # PostgreSQL does not run as root
    server = embedded.Server(os.path.join(directory, "pg"))
    server.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # only a crash of the machine could lose data
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def with_template():
    """The server with an empty database, from which `fresh` makes others."""
    with serving() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE made")
        Database(server.url.replace("/postgres?", "/made?"), prepare=True).close()
        yield server


@contextmanager
def fresh(server):
    """The URL of a database without runs, inside this context."""
    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE made")
    yield server.url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(
            f"DROP DATABASE {name} WITH (FORCE)"
        )  # else the server would have to maintain more and more of them
