"""The test environment, without variables that do not belong to it."""

import os
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"

# What the machine that runs the tests may have set, and what a test means to be without.
FOREIGN = (
    "COLUMNS", "DBUS_SESSION_BUS_ADDRESS", "KOSMO_CONFIG_DIR", "PYTHON_KEYRING_BACKEND", "REPLICATE_API_KEY",
    "REPLICATE_API_TOKEN", "REPLICATE_URL", "XDG_CONFIG_HOME",
)  # fmt: skip


def clean_environment(home):
    return {**{name: value for name, value in os.environ.items() if name not in FOREIGN}, "HOME": str(home)}
