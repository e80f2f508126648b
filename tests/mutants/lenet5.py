"""Mistakes in LeNet-5, and in handing masks through a network."""

from tests.mutants.mutant import mutant

FILE = "models.py"

_CELL = '[4 + 3 * c3] == "X"'
_TABLE = "table = None if dense_c3 else s2_c3_table()"
_LAST_TWO = 'return AvgPool2d(2) if pooling == "average" else MaxPool2d(2)'


def without(layer: str) -> tuple[str, str]:
    """The edit that leaves an activation out."""
    return f'"{layer}": make_activation(activation)', f'"{layer}": make_activation(Identity)'


IDENTITY = ("from scratch.activation import Tanh\n", "from scratch.activation import Identity, Tanh\n")


MUTANTS = (
    *(
        mutant(f"no squashing behind {layer}", FILE, IDENTITY, without(f"{layer}_f"))
        for layer in ("c1", "s2", "c3", "s4", "c5", "f6")
    ),
    mutant(
        "squashing behind pooling too",
        FILE,
        ('if pooling != "subsample":', 'if pooling not in ("subsample", "average"):'),
    ),
    mutant("C3 dense in spite of the table", FILE, (_TABLE, "table = None")),
    mutant("C3 by the table in spite of dense_c3", FILE, (_TABLE, "table = s2_c3_table()")),
    mutant("S2–C3 table rolled by one map of C3", FILE, (_CELL, '[4 + 3 * ((c3 + 1) % 16)] == "X"')),
    mutant(
        "S2–C3 table upside down", FILE, (_CELL, f"{_CELL} for row in rows[::-1]"), (" for row in rows] for", "] for")
    ),
    mutant(
        "one X of the S2–C3 table missing",
        FILE,
        (
            " 2  X  X  X           X  X  X        X     X  X  X\n",
            " 2  X  X  X           X  X           X     X  X  X\n",
        ),
    ),
    mutant(
        "one X of the S2–C3 table too many",
        FILE,
        (
            " 5           X  X  X        X  X  X  X     X  X  X\n",
            " 5           X  X  X        X  X  X  X  X  X  X  X\n",
        ),
    ),
    mutant("average for the maximum", FILE, (_LAST_TWO, "return AvgPool2d(2)")),
    mutant("maximum for the average", FILE, (_LAST_TWO, "return MaxPool2d(2)")),
    mutant(
        "LeNet-5's sub-sampling ignores the dtype",
        FILE,
        ("Subsample2d(channels, 2, dtype=dtype)", "Subsample2d(channels, 2)"),
    ),
    mutant("C5 ignores the dtype", FILE, ("Conv2d(16, 120, 5, dtype=dtype, rng=rng)", "Conv2d(16, 120, 5, rng=rng)")),
    mutant("C5 without a bias", FILE, ("Conv2d(16, 120, 5, dtype", "Conv2d(16, 120, 5, bias=False, dtype")),
    mutant(
        "digits on a ground of zeros", FILE, ('Canvas2d(32, check_number("background", background))', "Canvas2d(32)")
    ),
    mutant("plain tanh by default", FILE, ("activation: Activation = Tanh.lecun,", "activation: Activation = Tanh,")),
    mutant("the output layer passed over", FILE, ("rng=rng) if output is None else output,", "rng=rng),")),
    # module.py
    mutant(
        "masks not handed on",
        "module.py",
        ("caches[name] = layer.forward(x, *sources[name])", "caches[name] = layer.forward(x)"),
    ),
    mutant("the first mask for all", "module.py", ("(dropout[name],)", "(next(iter(dropout.values())),)")),
    mutant(
        "masks within a network left out",
        "module.py",
        ('{f"{name}.{inner}": mask for inner, mask in cache.masks.items()}', "{}"),
    ),
)
