"""Handlers of the catalogue's operations: one function for each, one module for each family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kosmolua.emulator.handlers import deployments, files, library, models, predictions, trainings

if TYPE_CHECKING:
    from kosmolua.emulator.call import Handler

HANDLERS: dict[str, Handler] = {
    **deployments.HANDLERS,
    **files.HANDLERS,
    **library.HANDLERS,
    **models.HANDLERS,
    **predictions.HANDLERS,
    **trainings.HANDLERS,
}
