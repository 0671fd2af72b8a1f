"""The environment variables for tests, without those of the machine that could influence them."""

import os
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"

# Variables that the machine may have set, and that a test must not see.
FOREIGN = (
    "COLUMNS", "DBUS_SESSION_BUS_ADDRESS", "KOSMO_CONFIG_DIR", "PYTHON_KEYRING_BACKEND", "REPLICATE_API_KEY",
    "REPLICATE_API_TOKEN", "REPLICATE_URL", "XDG_CONFIG_HOME",
)  # fmt: skip


def clean_environment(home):
    return {**{name: value for name, value in os.environ.items() if name not in FOREIGN}, "HOME": str(home)}
