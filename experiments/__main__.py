"""`python -m experiments`, which is the command `twice`."""

import sys

from experiments.cli import main

if __name__ == "__main__":
    sys.exit(main())
