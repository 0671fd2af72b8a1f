"""Decodes a sixel image to pixels."""

import re

_IMAGE = re.compile(r'\x1bP0;1;0q"1;1;(\d+);(\d+)([ -~]*)\x1b\\')
_PART = re.compile(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])")


def decoded(text):
    """The rows of pixels as (red, green, blue), with None for pixels that are not drawn. Raises an error if the data
    are not exactly one image."""
    width, height, body = re.fullmatch(_IMAGE, text).groups()
    pixels = [[None] * int(width) for _ in range(int(height))]
    palette, colour, x, y, at = {}, None, 0, 0, 0
    while at < len(body):
        part = _PART.match(body, at)
        at = part.end()
        register, red, green, blue, count, repeated, single, control = part.groups()
        if red:
            palette[register] = tuple(round(int(percent) * 255 / 100) for percent in (red, green, blue))
        elif register:
            colour = palette[register]
        elif control:
            x, y = 0, y + 6 * (control == "-")
        else:
            bits = ord(repeated or single) - 63
            end = x + int(count or 1)
            for bit in range(6):
                if bits >> bit & 1:
                    pixels[y + bit][x:end] = [colour] * (end - x)
            x = end
    return pixels
