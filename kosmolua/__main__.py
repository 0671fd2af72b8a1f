"""``python -m kosmolua`` is ``kosmo``."""

from kosmolua.cli import program

program()
