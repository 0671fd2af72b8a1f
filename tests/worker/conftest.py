import os

import psycopg
import pytest
from postgres import serving

from kosmolua.worker.database import Database


@pytest.fixture(scope="session")
def server():
    with serving() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE made")
        Database(server.url.replace("/postgres?", "/made?"), prepare=True).close()
        yield server


@pytest.fixture
def url(server):
    """The URL of a database without runs."""
    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE made")
    yield server.url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # or the server would tend more and more of them


@pytest.fixture
def database(url):
    database = Database(url, prepare=True)
    yield database
    database.close()
