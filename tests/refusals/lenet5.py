"""Bad input for LeNet-5, for dropout and its masks, and for the states of networks with convolutions."""

from typing import Any

from tests.refusals.refusal import Refusal, Wing, X

NAN = float("nan")


def thinned(w: Wing) -> Any:
    """A network with two `Dropout` layers, one of them in a network within."""
    block = w.module.Sequential({"relu": w.module.ReLU(), "drop": w.module.Dropout()})
    return w.module.Sequential({"drop": w.module.Dropout(), "block": block})


def mask(w: Wing) -> Any:
    return w.array((3, 4), "bool")


REFUSALS = (
    # Dropout
    *(
        Refusal(f"Dropout({p!r})", lambda w, p=p: w.module.Dropout(p), error, (f"p is {p!r}", expected))
        for p, error, expected in (
            (1, ValueError, "less than 1"),
            (1.5, ValueError, "less than 1"),
            (-0.1, ValueError, "at least 0"),
            (NAN, ValueError, "finite"),
            ("0.5", TypeError, "number"),
            (None, TypeError, "number"),
            (True, TypeError, "number"),
        )
    ),
    *(
        Refusal(
            f"Dropout, mask {label}",
            lambda w, make=make: w.run(w.module.Dropout(), w.array((3, 4), X), make(w)),
            error,
            says,
        )
        for label, make, error, says in (
            ("a bare seed", lambda _: 0, TypeError, ("mask is a int", "enerator")),
            ("True", lambda _: True, TypeError, ("mask is a bool", "boolean")),
            ("a list", lambda _: [[True] * 4] * 3, TypeError, ("mask is a list", "boolean")),
            ("of ints", lambda w: w.array((3, 4), "int64"), TypeError, ("mask has dtype", "int64", "boolean")),
            ("of floats", lambda w: w.array((3, 4), X), TypeError, ("mask has dtype", "float32", "boolean")),
            ("for fewer samples", lambda w: w.array((2, 4), "bool"), ValueError, ("mask has shape (2, 4)", "(3, 4)")),
            ("for all samples at once", lambda w: w.array((4,), "bool"), ValueError, ("mask has shape (4,)", "(3, 4)")),
            ("of the other wing", lambda w: w.foreign((3, 4), "bool"), TypeError, ("mask is a", "boolean")),
        )
    ),
    Refusal(
        "Dropout on ints",
        lambda w: w.run(w.module.Dropout(), w.array((3, 4), "int64")),
        TypeError,
        ("int64", "convert with x."),
    ),
    # Masks by name
    *(
        Refusal(
            f"Sequential, masks {label}, {method}",
            lambda w, make=make, method=method: _thinned_pass(w, method, make(w)),
            error,
            says,
        )
        for method in ("forward", "trace")
        for label, make, error, says in (
            ("one missing", lambda w: {"drop": mask(w)}, ValueError, ("masks for ['drop']", "['block.drop', 'drop']")),
            ("none at all", lambda _: {}, ValueError, ("masks for []", "['block.drop', 'drop']")),
            (
                "one too many",
                lambda w: {"drop": mask(w), "block.drop": mask(w), "other": mask(w)},
                ValueError,
                ("'other'", "expected ['block.drop', 'drop']"),
            ),
            (
                "for a ReLU",
                lambda w: {"drop": mask(w), "block.relu": mask(w)},
                ValueError,
                ("'block.relu'", "expected ['block.drop', 'drop']"),
            ),
            ("under a number", lambda w: {"drop": mask(w), 1: mask(w)}, ValueError, ("['1', 'drop']",)),
            (
                "of another shape",
                lambda w: {"drop": mask(w), "block.drop": w.array((4, 3), "bool")},
                ValueError,
                ("mask has shape (4, 3)", "(3, 4)"),
            ),
            ("a seed", lambda w: {"drop": mask(w), "block.drop": 3}, TypeError, ("mask is a int",)),
            ("in a list", lambda w: [mask(w), mask(w)], TypeError, ("dropout is a list", "masks by the layers' names")),
            ("without a name", mask, TypeError, ("dropout is a", "masks by the layers' names")),
            ("of a bare seed", lambda _: 0, TypeError, ("dropout is a int", "enerator")),
        )
    ),
    Refusal(
        "Sequential, masks without a Dropout",
        lambda w: w.run(w.module.Sequential({"relu": w.module.ReLU()}), w.array((3, 4), X), {"relu": mask(w)}),
        ValueError,
        ("masks for ['relu']", "expected []"),
    ),
    # LeNet5
    *(
        Refusal(
            f"LeNet5, {next(iter(arguments))} {next(iter(arguments.values()))!r}",
            lambda w, arguments=arguments: w.module.LeNet5(**arguments),
            error,
            says,
        )
        for arguments, error, says in (
            ({"pooling": "mean"}, ValueError, ("pooling is 'mean'", "'subsample', 'average' or 'max'")),
            ({"pooling": None}, ValueError, ("pooling is None", "'subsample'")),
            ({"output": 3}, TypeError, ("output is 3", "Module or None")),
            ({"output": "linear"}, TypeError, ("output is 'linear'", "Module or None")),
            ({"activation": "tanh"}, TypeError, ("activation is 'tanh'", "factory")),
            ({"activation": 3}, TypeError, ("activation is 3", "factory")),
            ({"activation": None}, TypeError, ("activation is None", "factory")),
            ({"rng": 0}, TypeError, ("rng is 0", "enerator")),
            ({"background": NAN}, ValueError, ("background is nan", "finite")),
            ({"background": "black"}, TypeError, ("background is 'black'", "number")),
            ({"dtype": None}, TypeError, ("dtype is None", "float32")),
        )
    ),
    Refusal(
        "LeNet5, output a class", lambda w: w.module.LeNet5(output=w.module.Linear), TypeError, ("output is <class",)
    ),
    Refusal("LeNet5 in float16", lambda w: w.module.LeNet5(dtype=w.dtype("float16")), TypeError, ("float16",)),
    *(
        Refusal(
            f"LeNet5 on {label}",
            lambda w, shape=shape, dtype=dtype: w.run(w.module.LeNet5(), w.array(shape, dtype)),
            error,
            says,
        )
        for label, shape, dtype, error, says in (
            ("27×27", (2, 1, 27, 27), X, ValueError, ("(2, 1, 27, 27)", "(N, 1, 28, 28) or (N, 1, 32, 32)")),
            ("30×30", (2, 1, 30, 30), X, ValueError, ("(2, 1, 30, 30)", "(N, 1, 28, 28) or (N, 1, 32, 32)")),
            ("28×32", (2, 1, 28, 32), X, ValueError, ("(2, 1, 28, 32)", "(N, 1, 28, 28) or (N, 1, 32, 32)")),
            ("three channels", (2, 3, 32, 32), X, ValueError, ("(2, 3, 32, 32)", "(N, 1, 32, 32)")),
            ("channels last", (2, 28, 28, 1), X, ValueError, ("(2, 28, 28, 1)", "(N, 1, 28, 28)")),
            ("a batch of rank 3", (2, 28, 28), X, ValueError, ("(2, 28, 28)", "(N, 1, 28, 28)")),
            ("flat images", (2, 784), X, ValueError, ("(2, 784)", "(N, 1, 28, 28)")),
            ("bytes", (2, 1, 28, 28), "uint8", TypeError, ("uint8", "convert with x.", "scale pixels")),
            ("ints", (2, 1, 28, 28), "int64", TypeError, ("int64", "convert with x.", "scale pixels")),
            ("float64", (2, 1, 28, 28), "float64", TypeError, ("float64", "float32", "silently")),
        )
    ),
    Refusal("LeNet5 on a list", lambda w: w.run(w.module.LeNet5(), [[1.0]]), TypeError, ("x is a list",)),
    Refusal(
        "LeNet5 on the other wing's array",
        lambda w: w.run(w.module.LeNet5(), w.foreign((2, 1, 28, 28), X)),
        TypeError,
        ("x is a", "expected a"),
    ),
    Refusal(
        "LeNet5, 27×27 traced",
        lambda w: w.module.LeNet5().trace(w.array((2, 1, 27, 27), X)),
        ValueError,
        ("(2, 1, 27, 27)", "(N, 1, 28, 28)"),
    ),
    Refusal(
        "LeNet5, an output layer for 10 units below",
        lambda w: w.run(w.module.LeNet5(output=w.module.Linear(10, 10)), w.array((2, 1, 28, 28), X)),
        ValueError,
        ("x has shape (2, 84)", "(N, 10)"),
    ),
    *(
        Refusal(
            f"LeNet5.{question} of {shape}",
            lambda w, question=question, shape=shape: getattr(w.module.LeNet5(), question)(shape),
            ValueError,
            (f"input_shape is {shape}", "(1, 28, 28) or (1, 32, 32)"),
        )
        for question in ("output_shape", "num_connections", "num_multiply_adds")
        for shape in ((3, 32, 32), (1, 30, 30), (28, 28))
    ),
    # States
    Refusal(
        "Conv2d, a state with its weights transposed",
        lambda w: w.module.Conv2d(2, 3, (4, 5)).load_state_dict(
            {"weight": w.array((2, 3, 4, 5), X), "bias": w.array((3, 1), X), "connections": w.array((3, 2), "bool")}
        ),
        ValueError,
        (
            "Conv2d",
            "unexpected connections",
            "weight has shape (2, 3, 4, 5), expected (3, 2, 4, 5)",
            "bias has shape (3, 1), expected (3,)",
        ),
    ),
    Refusal(
        "Conv1d, a state of another kernel",
        lambda w: w.module.Conv1d(2, 3, 5).load_state_dict({"weight": w.array((3, 2, 4), X)}),
        ValueError,
        ("Conv1d", "missing bias (3,)", "weight has shape (3, 2, 4), expected (3, 2, 5)"),
    ),
    Refusal(
        "Subsample2d, a state of the other wing",
        lambda w: w.module.Subsample2d(2, 2).load_state_dict({"weight": w.foreign((2,), X), "bias": w.array((2,), X)}),
        ValueError,
        ("Subsample2d", "weight is a", "expected a"),
    ),
    Refusal(
        "LeNet5, a state without sub-sampling",
        lambda w: w.module.LeNet5().load_state_dict(w.module.LeNet5(pooling="max").state_dict()),
        ValueError,
        (
            "LeNet5",
            "missing s2.weight (6,)",
            "missing s2.bias (6,)",
            "missing s4.weight (16,)",
            "missing s4.bias (16,)",
        ),
    ),
)


def _thinned_pass(w: Wing, method: str, dropout: Any) -> Any:
    net, x = thinned(w), w.array((3, 4), X)
    return net.trace(x, dropout) if method == "trace" else w.run(net, x, dropout)
