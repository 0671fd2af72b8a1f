"""Paths of the user's configuration, state and cache, and of the project file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping

PROJECT_FILE = os.path.join(".kosmo", "config.toml")
JOURNAL, OUTPUTS = ".journal", ".outputs"  # suffixes of a journal and of the directory next to it
SAVED = "saved"  # the file in that directory that lists the files a run has written


def config_directory(environment: Mapping[str, str]) -> str:
    """The directory of the user's configuration: ``KOSMO_CONFIG_DIR``, else the platform's default."""
    return _directory(environment, "CONFIG", ".config", "Application Support")


def state_directory(environment: Mapping[str, str]) -> str:
    """The directory of the program's own data: ``KOSMO_STATE_DIR``, else the platform's default."""
    if sys.platform == "darwin" and not environment.get("KOSMO_STATE_DIR"):
        return os.path.join(config_directory(environment), "state")
    return _directory(environment, "STATE", os.path.join(".local", "state"), "Application Support")


def cache_directory(environment: Mapping[str, str]) -> str:
    """The directory of cached data: ``KOSMO_CACHE_DIR``, else the platform's default."""
    return _directory(environment, "CACHE", ".cache", "Caches")


def _directory(environment: Mapping[str, str], kind: str, below_home: str, in_library: str) -> str:
    given = environment.get(f"KOSMO_{kind}_DIR")
    if given:
        return os.path.abspath(given)
    home = environment.get("HOME") or os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", in_library, "kosmolua")
    base = environment.get(f"XDG_{kind}_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.join(home, below_home), "kosmolua")


def global_file(environment: Mapping[str, str]) -> str:
    return os.path.join(config_directory(environment), "config.toml")


def project_file(directory: str) -> str | None:
    """The project file in the directory or the nearest parent that has one."""
    return next((path for path in candidates(directory) if os.path.isfile(path)), None)


def candidates(directory: str) -> Iterator[str]:
    current = os.path.abspath(directory)
    while True:
        yield os.path.join(current, PROJECT_FILE)
        above = os.path.dirname(current)
        if above == current:
            return
        current = above


def outputs_of(journal: str) -> str:
    """The directory next to a journal that holds the outputs of its run."""
    return os.path.abspath(journal).removesuffix(JOURNAL) + OUTPUTS


def record_of(journal: str) -> str:
    """The file next to a journal that lists the files its run has written."""
    return os.path.join(outputs_of(journal), SAVED)
