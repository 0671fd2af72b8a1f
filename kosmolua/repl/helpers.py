"""The helpers of scripts and the tables of functions, with one sentence about each."""

from __future__ import annotations

from kosmolua.manual.stubs import summaries

HELPERS = {
    **summaries(),
    "integrations": "The functions of each provider.",
    "app": "An alias of integrations.",
    "replicate": "The functions of the run's account, and the workflow helpers.",
}
