"""``python -m ugpnet_core.cli`` is the command ``ugpnet``."""

from __future__ import annotations

import sys

from ugpnet_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
