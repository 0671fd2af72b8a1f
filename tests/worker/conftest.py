import pytest
from postgres import fresh, with_template

from kosmolua.worker.database import Database


@pytest.fixture(scope="session")
def server():
    with with_template() as server:
        yield server


@pytest.fixture
def url(server):
    """The URL of a database without runs."""
    with fresh(server) as url:
        yield url


@pytest.fixture
def database(url):
    database = Database(url, prepare=True)
    yield database
    database.close()
