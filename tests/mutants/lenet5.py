"""Mistakes in LeNet-5, and in handing masks through a network."""

from tests.mutants.mutant import mutant

FILE = "models.py"

_CELLS = "for cell in row[4::3].ljust(16)]"
_TABLE = "table = None if dense_c3 else s2_c3_table()"
_POOL = 'AvgPool2d(2) if pooling == "average" else MaxPool2d(2)'
_SQUASHED = 'f"{name}_f": make_activation(activation)'
_GIVEN = "sources[name] = (dropout,)"


def without(layer: str) -> tuple[str, str]:
    """The edit that leaves an activation out."""
    if layer in ("s2_f", "s4_f"):
        return _SQUASHED, _SQUASHED.replace("(activation)", f'(Identity if name == "{layer[:2]}" else activation)')
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
        (_POOL, f"{_POOL}, {_SQUASHED}"),
    ),
    mutant("C3 dense in spite of the table", FILE, (_TABLE, "table = None")),
    mutant("C3 by the table in spite of dense_c3", FILE, (_TABLE, "table = s2_c3_table()")),
    mutant("S2–C3 table rolled by one map of C3", FILE, (_CELLS, "for cell in row[7::3].ljust(15) + row[4]]")),
    mutant("S2–C3 table upside down", FILE, (f"{_CELLS} for row in rows]", f"{_CELLS} for row in rows[::-1]]")),
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
    mutant("average for the maximum", FILE, (_POOL, "AvgPool2d(2)")),
    mutant("maximum for the average", FILE, (_POOL, "MaxPool2d(2)")),
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
    mutant("each layer its own generator", "module.py", (_GIVEN, "sources[name] = (np.random.default_rng(),)")),
    mutant("each layer the same draws", "module.py", (_GIVEN, "sources[name] = (np.random.default_rng(0),)")),
    mutant(
        "each layer its own copy of the generator",
        "module.py",
        (_GIVEN, "sources[name] = (copy.deepcopy(dropout),)"),
        ("from typing import", "import copy\nfrom typing import"),
    ),
    mutant(
        "the trace draws nothing within a network",
        "module.py",
        (
            "x, _ = layer.forward(x, *sources[name])",
            'x, _ = layer.forward(x, *(sources[name] if layer.dropouts() == ("",) else ()))',
        ),
    ),
    mutant("the first mask for all", "module.py", ("(dropout[name],)", "(next(iter(dropout.values())),)")),
    mutant(
        "masks within a network left out",
        "module.py",
        ('{f"{name}.{inner}": mask for inner, mask in cache.masks.items()}', "{}"),
    ),
)
