"""``python -m augdrop``: the command line."""

import sys

from augdrop.cli import main

if __name__ == "__main__":  # spawned workers import this file, too
    sys.exit(main())
