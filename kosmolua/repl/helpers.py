"""The helper functions for scripts and the tables of functions, each with a one-sentence description."""

from __future__ import annotations

from kosmolua.manual.stubs import summaries

HELPERS = {
    **summaries(),
    "integrations": "The functions of each provider.",
    "app": "An alias of integrations.",
    "replicate": "The functions of the run's account, and the workflow helpers.",
}
