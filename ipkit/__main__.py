"""Where the program starts, by name or as `python -m ipkit`.

Law: nothing is loaded before an interrupt can be answered. Loading takes longer than many a run.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the program and run it."""
    try:
        from ipkit.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)  # as in ipkit.errors, which may not have been loaded


if __name__ == "__main__":
    main()
