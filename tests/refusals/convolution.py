"""Bad input for convolutions, their tables of connections, their sizes and their initial weights."""

from typing import Any

from tests.refusals.refusal import Refusal, X

NAN = float("nan")

TABLES: tuple[tuple[str, Any, type[Exception], tuple[str, ...]], ...] = (
    ("of ints", [[1, 0], [0, 1], [1, 1]], TypeError, ("dtype", "int64", "booleans")),
    ("of floats", [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], TypeError, ("dtype", "float", "booleans")),
    ("of booleans and an int", [[True, 1], [True, True], [True, True]], TypeError, ("int64", "booleans")),
    ("of None", [[None, True]] * 3, TypeError, ("booleans",)),
    ("of crosses", [["X", ""]] * 3, TypeError, ("booleans",)),
    ("of nothing", [], TypeError, ("booleans",)),
    ("transposed", [[True, False, True], [True, True, True]], ValueError, ("shape (2, 3)", "(3, 2)")),
    ("one row short", [[True, False], [True, True]], ValueError, ("shape (2, 2)", "(3, 2)")),
    ("flat", [True, False], ValueError, ("shape (2,)", "(3, 2)")),
    ("of three axes", [[[True], [True]]] * 3, ValueError, ("shape (3, 2, 1)", "(3, 2)")),
    ("ragged", [[True], [True, False], [True, True]], ValueError, ("rows of different lengths", "(3, 2)")),
    ("a string", "full", TypeError, ("is a str", "rows of booleans")),
    ("a number", 3, TypeError, ("is a int", "rows of booleans")),
    ("True", True, TypeError, ("is a bool", "rows of booleans")),
    ("a dictionary", {0: [0, 1]}, TypeError, ("is a dict", "rows of booleans")),
    ("a map without a link", [[True, False], [False, False], [True, True]], ValueError, ("output channels [1]",)),
)
"""Tables that are none for 2 -> 3 channels."""

SOUND = {"in_channels": 2, "out_channels": 3, "kernel_size": 3}

REFUSALS = (
    # Constructor arguments
    *(
        refusal
        for name, extent in (("Conv1d", "an int"), ("Conv2d", "an int or a pair"))
        for refusal in (
            *(
                Refusal(
                    f"{name}, {argument} {value!r}",
                    lambda w, name=name, bad={argument: value}: getattr(w.module, name)(**(SOUND | bad)),
                    error,
                    (f"{argument} is {value!r}", expected),
                )
                for argument, value, error, expected in (
                    ("in_channels", 0, ValueError, "at least 1"),
                    ("in_channels", 2.5, TypeError, "an int"),
                    ("in_channels", True, TypeError, "an int"),
                    ("out_channels", -1, ValueError, "at least 1"),
                    ("out_channels", "3", TypeError, "an int"),
                    ("kernel_size", 0, ValueError, "at least 1"),
                    ("kernel_size", -3, ValueError, "at least 1"),
                    ("kernel_size", 3.0, TypeError, extent),
                    ("kernel_size", True, TypeError, extent),
                    ("kernel_size", "3", TypeError, extent),
                    ("kernel_size", NAN, TypeError, extent),
                    ("kernel_size", None, TypeError, extent),
                    ("kernel_size", (3, 3, 3), TypeError, extent),
                    ("kernel_size", (3,), TypeError, extent),
                    ("stride", 0, ValueError, "at least 1"),
                    ("stride", -1, ValueError, "at least 1"),
                    ("stride", 1.5, TypeError, extent),
                    ("stride", True, TypeError, extent),
                    ("stride", None, TypeError, extent),
                    ("padding", -1, ValueError, "at least 0"),
                    ("padding", 0.5, TypeError, extent),
                    ("padding", False, TypeError, extent),
                    ("padding", "same", TypeError, extent),
                    ("padding", NAN, TypeError, extent),
                    ("padding", (1, 1, 1), TypeError, extent),
                )
            ),
            *(
                Refusal(
                    f"{name}, connections {label}",
                    lambda w, name=name, table=table: getattr(w.module, name)(2, 3, 3, connections=table),
                    error,
                    ("connections", *says),
                )
                for label, table, error, says in TABLES
            ),
            Refusal(
                f"{name}, connections an array of ints",
                lambda w, name=name: getattr(w.module, name)(2, 3, 3, connections=w.array((3, 2), "int64")),
                TypeError,
                ("connections has dtype", "int64", "booleans"),
            ),
            Refusal(
                f"{name}, connections of the other wing",
                lambda w, name=name: getattr(w.module, name)(2, 3, 3, connections=w.foreign((3, 2), "bool")),
                TypeError,
                ("connections is a", "rows of booleans"),
            ),
            Refusal(
                f"{name}, a bare seed",
                lambda w, name=name: getattr(w.module, name)(2, 3, 3, rng=0),
                TypeError,
                ("rng is 0", "enerator"),
            ),
            *(
                Refusal(
                    f"{name} in {dtype}",
                    lambda w, name=name, dtype=dtype: getattr(w.module, name)(2, 3, 3, dtype=w.dtype(dtype)),
                    TypeError,
                    (dtype, "float32"),
                )
                for dtype in ("float16", "int64")
            ),
            Refusal(
                f"{name} in no dtype",
                lambda w, name=name: getattr(w.module, name)(2, 3, 3, dtype=None),
                TypeError,
                ("dtype is None", "float32"),
            ),
        )
    ),
    Refusal("Conv1d, a pair", lambda w: w.module.Conv1d(2, 3, (3, 2)), TypeError, ("kernel_size is (3, 2)", "an int")),
    *(
        Refusal(
            f"Conv2d, {argument} {value!r}",
            lambda w, argument=argument, value=value: w.module.Conv2d(2, 3, **{"kernel_size": 3, argument: value}),
            error,
            (f"{argument} is {value!r}", expected),
        )
        for argument, value, error, expected in (
            ("kernel_size", (3, 0), ValueError, "at least 1"),
            ("kernel_size", (3, True), TypeError, "pair"),
            ("kernel_size", (3.0, 3), TypeError, "pair"),
            ("stride", (1, 0), ValueError, "at least 1"),
            ("padding", (0, -1), ValueError, "at least 0"),
        )
    ),
    # Inputs
    *(
        Refusal(
            f"Conv2d on {label}",
            lambda w, shape=shape, dtype=dtype: w.run(w.module.Conv2d(2, 3, (5, 4)), w.array(shape, dtype)),
            error,
            says,
        )
        for label, shape, dtype, error, says in (
            ("an image too low", (1, 2, 4, 6), X, ValueError, ("kernel_size is 5", "at most", "input, 4")),
            ("an image too narrow", (1, 2, 6, 3), X, ValueError, ("kernel_size is 4", "at most", "input, 3")),
            ("no rows", (1, 2, 0, 6), X, ValueError, ("input_shape[1] is 0", "at least 1")),
            ("three channels", (1, 3, 6, 6), X, ValueError, ("x has shape (1, 3, 6, 6)", "(N, 2, H, W)")),
            ("channels last", (1, 6, 6, 2), X, ValueError, ("x has shape (1, 6, 6, 2)", "(N, 2, H, W)")),
            ("a batch of rank 3", (2, 6, 6), X, ValueError, ("x has shape (2, 6, 6)", "(N, 2, H, W)")),
            ("rank 5", (1, 2, 6, 6, 6), X, ValueError, ("x has shape (1, 2, 6, 6, 6)", "(N, 2, H, W)")),
            ("no axis", (), X, ValueError, ("x has shape ()",)),
            ("float64", (1, 2, 6, 6), "float64", TypeError, ("x has dtype", "float64", "float32", "silently")),
            ("float16", (1, 2, 6, 6), "float16", TypeError, ("x has dtype", "float16", "float32")),
            ("bytes", (1, 2, 6, 6), "uint8", TypeError, ("x has dtype", "uint8", "convert with x.", "scale pixels")),
            ("ints", (1, 2, 6, 6), "int64", TypeError, ("x has dtype", "int64", "convert with x.", "scale pixels")),
            ("booleans", (1, 2, 6, 6), "bool", TypeError, ("x has dtype", "bool", "convert with x.")),
        )
    ),
    Refusal(
        "Conv2d, the kernel larger than the padded input",
        lambda w: w.run(w.module.Conv2d(2, 3, 7, padding=1), w.array((1, 2, 4, 6), X)),
        ValueError,
        ("kernel_size is 7", "padded input, 4 + 2·1"),
    ),
    Refusal("Conv2d on a list", lambda w: w.run(w.module.Conv2d(1, 3, 1), [[[[1.0]]]]), TypeError, ("x is a list",)),
    Refusal("Conv2d on nothing", lambda w: w.run(w.module.Conv2d(1, 3, 1), None), TypeError, ("x is a NoneType",)),
    Refusal(
        "Conv2d on the other wing's array",
        lambda w: w.run(w.module.Conv2d(2, 3, 5), w.foreign((1, 2, 6, 6), X)),
        TypeError,
        ("x is a", "expected a"),
    ),
    *(
        Refusal(
            f"Conv1d on {label}",
            lambda w, shape=shape, dtype=dtype: w.run(w.module.Conv1d(2, 3, 5), w.array(shape, dtype)),
            error,
            says,
        )
        for label, shape, dtype, error, says in (
            ("a signal too short", (1, 2, 4), X, ValueError, ("kernel_size is 5", "input, 4")),
            ("three channels", (1, 3, 6), X, ValueError, ("x has shape (1, 3, 6)", "(N, 2, L)")),
            ("rank 2", (2, 6), X, ValueError, ("x has shape (2, 6)", "(N, 2, L)")),
            ("images", (1, 2, 6, 6), X, ValueError, ("x has shape (1, 2, 6, 6)", "(N, 2, L)")),
            ("ints", (1, 2, 6), "int64", TypeError, ("int64", "convert with x.")),
            ("float64", (1, 2, 6), "float64", TypeError, ("x has dtype", "float64", "float32")),
        )
    ),
    # Shapes and counts
    *(
        Refusal(
            f"Conv2d.{question} of {shape!r}",
            lambda w, question=question, shape=shape: getattr(w.module.Conv2d(2, 3, 5), question)(shape),
            error,
            says,
        )
        for question in ("output_shape", "num_connections", "num_multiply_adds")
        for shape, error, says in (
            ((2, 4, 6), ValueError, ("kernel_size is 5", "input, 4")),
            ((3, 6, 6), ValueError, ("input_shape is (3, 6, 6)", "(2, H, W)", "without the batch axis")),
            ((1, 2, 6, 6), ValueError, ("input_shape is (1, 2, 6, 6)", "without the batch axis")),
            ((2, 6.0, 6), TypeError, ("input_shape[1] is 6.0", "int")),
            ((2, -6, 6), ValueError, ("input_shape[1] is -6",)),
            (5, TypeError, ("input_shape is 5",)),
            ("2", TypeError, ("input_shape is '2'",)),
        )
    ),
    *(
        Refusal(
            f"output_size{arguments}",
            lambda w, arguments=arguments: w.module.sizes.output_size(*arguments),
            error,
            says,
        )
        for arguments, error, says in (
            ((2, 3), ValueError, ("kernel_size is 3", "size of the input, 2")),
            ((2, 5, 1, 1), ValueError, ("kernel_size is 5", "padded input, 2 + 2·1")),
            ((7, 3, 0), ValueError, ("stride is 0", "at least 1")),
            ((7, 3, -1), ValueError, ("stride is -1", "at least 1")),
            ((7, 0), ValueError, ("kernel_size is 0", "at least 1")),
            ((7, 3, 1, -1), ValueError, ("padding is -1", "at least 0")),
            ((-7, 3), ValueError, ("size is -7", "at least 0")),
            ((7.0, 3), TypeError, ("size is 7.0", "int")),
            ((7, NAN), TypeError, ("kernel_size is nan", "int")),
            ((7, 3, 1.0), TypeError, ("stride is 1.0", "int")),
            ((7, 3, 1, True), TypeError, ("padding is True", "int")),
        )
    ),
    *(
        Refusal(
            f"convolution_parameters{arguments}",
            lambda w, arguments=arguments: w.module.sizes.convolution_parameters(*arguments),
            error,
            says,
        )
        for arguments, error, says in (
            ((0, 3, (5, 5)), ValueError, ("in_channels is 0",)),
            ((3, -2, (5, 5)), ValueError, ("out_channels is -2",)),
            ((3, 2, (5, 0)), ValueError, ("kernel_size[1] is 0",)),
            ((3, 2, (5.0, 5)), TypeError, ("kernel_size[0] is 5.0",)),
            ((3, 2, 5), TypeError, ("kernel_size is 5", "sequence")),
            ((3, 2, ()), TypeError, ("kernel_size is ()", "at least one int")),
            ((2, 3, (5,), True, [[True]]), ValueError, ("connections has shape (1, 1)", "(3, 2)")),
            ((2, 1, (5,), True, [[1, 0]]), TypeError, ("connections has dtype", "booleans")),
        )
    ),
    # Initial weights
    *(
        Refusal(
            f"lecun_uniform, fan_in {fan_in}",
            lambda w, fan_in=fan_in: w.module.init.lecun_uniform((3, 2), rng=w.generator(), fan_in=fan_in),
            ValueError,
            ("(3, 2)", "fan_in", "fan-in of at least 1 per unit"),
        )
        for fan_in in ([1, 2], [1, 0, 2], [1, -1, 2], [1.0, NAN, 2.0], 3, [[1], [2], [3]])
    ),
    Refusal(
        "lecun_uniform, a bare seed",
        lambda w: w.module.init.lecun_uniform((3, 2), rng=0),
        TypeError,
        ("rng is 0", "enerator"),
    ),
)
