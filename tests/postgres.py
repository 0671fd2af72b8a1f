"""A PostgreSQL server for tests: the embedded one, in a directory that its operating system user can access."""

import os
import shutil
import tempfile
from contextlib import contextmanager

import psycopg

from kosmolua.worker import embedded
from kosmolua.worker.database import Database


@contextmanager
def serving():
    """Run the server that `kosmo worker` starts, inside this context."""
    directory = tempfile.mkdtemp(prefix="kosmo-pg-")
    os.chmod(directory, 0o755)  # PostgreSQL does not run as root, so its own user needs access
    server = embedded.Server(os.path.join(directory, "pg"))
    server.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # data could be lost only if the machine crashes
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def with_template():
    """Run the server with an empty database, from which `fresh` creates others."""
    with serving() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE made")
        Database(server.url.replace("/postgres?", "/made?"), prepare=True).close()
        yield server


@contextmanager
def fresh(server):
    """Create a database without runs; yields its URL, and removes the database afterwards."""
    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE made")
    yield server.url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(
            f"DROP DATABASE {name} WITH (FORCE)"
        )  # otherwise the number of databases would grow with every test
