"""`scratch` with or without one of the ideas, in a process of its own.

`python -m experiments.bench.ideas_worker LETTER now|instead …`: what follows, and what is read and written, is as for
`experiments.bench.worker`.
"""

import sys

from experiments.bench import worker
from experiments.bench.ideas import IDEAS

if __name__ == "__main__":
    letter, way = sys.argv.pop(1), sys.argv.pop(1)
    with IDEAS[letter].put_in_place(instead=way == "instead"):
        worker.main()
