"""Shows the images of a value or of a file at the prompt."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kosmolua.errors import UsageError

if TYPE_CHECKING:
    from kosmolua.repl.screen import Screen
    from kosmolua.terminal.query import Sixel

MAX_IMAGES = 4  # the maximum number of images of one value
MAX_FILE = 8 * 1024 * 1024  # the maximum bytes of an image


class Pictures:
    """Draws on ``screen``. ``fetch(url, most)`` returns the bytes of an output; ``sixel`` queries the terminal's sixel
    support.
    """

    def __init__(
        self,
        screen: Screen,
        fetch: Callable[[str, int], bytes],
        sixel: Callable[[], Sixel | None],
        width: Callable[[], int],
    ) -> None:
        self._screen = screen
        self._fetch = fetch
        self._ask = sixel
        self._width = width
        self._sixel: tuple[Sixel | None] | None = None

    def show(self, value: Any, *, asked: bool) -> None:
        """Show the images of a value. Raises a `UsageError` only if the user ``asked`` for them."""
        from kosmolua.repl import render
        from kosmolua.terminal import images

        protocol = images.protocol_of(os.environ)
        urls = render.images(value)
        if self._screen.plain or (not asked and protocol == "none"):
            urls = [] if not asked else urls
        if asked and not urls:
            raise UsageError("no image in the last value", hint="show a file: :show picture.png")
        for url in urls[:MAX_IMAGES]:
            self.draw(self._fetch(url, images.MAX_BYTES), url, asked=asked)

    def show_file(self, path: str) -> None:
        try:
            with open(os.path.expanduser(path), "rb") as file:
                data = file.read(MAX_FILE)
        except OSError as error:
            raise UsageError(f"cannot read {path!r}: {error.strerror}") from None
        self.draw(data, path, asked=True)

    def draw(self, data: bytes, name: str, *, asked: bool) -> None:
        from kosmolua.terminal import images

        protocol = images.protocol_of(os.environ)
        sixel = self._sixel_of_terminal() if protocol == "blocks" else None
        drawn = images.shown(data, protocol, min(60, self._width() - 2), sixel=sixel)
        if drawn:
            self._screen.show(drawn.removesuffix("\n"))
        elif asked:
            helps = protocol != "none" and images.needs_pillow()
            raise UsageError(
                f"this terminal cannot show {name[:200]!r}, an image of {len(data)} bytes",
                hint="install Pillow for JPEG, WebP and all PNG formats: pip install 'kosmolua[images]'"
                if helps
                else None,
            )

    def _sixel_of_terminal(self) -> Sixel | None:
        if self._sixel is None:
            self._sixel = (self._ask(),)
        return self._sixel[0]
