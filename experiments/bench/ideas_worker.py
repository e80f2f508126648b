"""`scratch` without one of the ideas, in a process of its own: `python -m experiments.bench.ideas_worker LETTER …`.

What follows the letter, and what is read and written, is as for `experiments.bench.worker`.
"""

import sys

from experiments.bench import worker
from experiments.bench.ideas import IDEAS

if __name__ == "__main__":
    with IDEAS[sys.argv.pop(1)].put_in_place():
        worker.main()
