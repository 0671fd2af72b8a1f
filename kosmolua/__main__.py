"""``python -m kosmolua`` is ``kosmo``."""

import sys

from kosmolua.cli import main

sys.exit(main())
