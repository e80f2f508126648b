"""Bad input for pooling, sub-sampling, flattening and the canvas."""

from tests.refusals.refusal import Refusal, X

NAN = float("nan")

POOLS = (
    ("AvgPool2d", lambda w, *sizes: w.module.AvgPool2d(*sizes)),
    ("MaxPool2d", lambda w, *sizes: w.module.MaxPool2d(*sizes)),
    ("Subsample2d", lambda w, *sizes: w.module.Subsample2d(2, *sizes)),
)

REFUSALS = (
    *(
        refusal
        for name, make in POOLS
        for refusal in (
            *(
                Refusal(f"{name}{sizes}", lambda w, make=make, sizes=sizes: make(w, *sizes), error, says)
                for sizes, error, says in (
                    ((0,), ValueError, ("kernel_size is 0", "at least 1")),
                    ((2.0,), TypeError, ("kernel_size is 2.0", "an int or a pair")),
                    ((True,), TypeError, ("kernel_size is True", "an int or a pair")),
                    (("2",), TypeError, ("kernel_size is '2'", "an int or a pair")),
                    ((NAN,), TypeError, ("kernel_size is nan", "an int or a pair")),
                    ((None,), TypeError, ("kernel_size is None", "an int or a pair")),
                    (((2, 2, 2),), TypeError, ("kernel_size is (2, 2, 2)", "an int or a pair")),
                    (((2, 0),), ValueError, ("kernel_size is (2, 0)", "at least 1")),
                    ((2, 0), ValueError, ("stride is 0", "at least 1")),
                    ((2, -1), ValueError, ("stride is -1", "at least 1")),
                    ((2, 1.5), TypeError, ("stride is 1.5", "an int or a pair")),
                    ((2, (1, 1, 1)), TypeError, ("stride is (1, 1, 1)", "an int or a pair")),
                )
            ),
            *(
                Refusal(
                    f"{name} on {label}",
                    lambda w, make=make, shape=shape, dtype=dtype: w.run(make(w, (5, 4)), w.array(shape, dtype)),
                    error,
                    says,
                )
                for label, shape, dtype, error, says in (
                    ("an image too low", (1, 2, 4, 6), X, ValueError, ("kernel_size is 5", "size of the input, 4")),
                    ("an image too narrow", (1, 2, 6, 3), X, ValueError, ("kernel_size is 4", "size of the input, 3")),
                    ("rank 3", (2, 6, 6), X, ValueError, ("x has shape (2, 6, 6)", "(N, ", "H, W)")),
                    ("rank 5", (1, 2, 6, 6, 6), X, ValueError, ("x has shape (1, 2, 6, 6, 6)", "H, W)")),
                    ("bytes", (1, 2, 6, 6), "uint8", TypeError, ("uint8", "float32", "convert with x.")),
                    ("float16", (1, 2, 6, 6), "float16", TypeError, ("float16", "float32")),
                )
            ),
            Refusal(f"{name} on a list", lambda w, make=make: w.run(make(w, 2), [[1.0]]), TypeError, ("x is a list",)),
            Refusal(
                f"{name} on the other wing's array",
                lambda w, make=make: w.run(make(w, 2), w.foreign((1, 2, 6, 6), X)),
                TypeError,
                ("x is a", "expected a"),
            ),
            Refusal(
                f"{name}.output_shape of an image too low",
                lambda w, make=make: make(w, 5).output_shape((2, 4, 6)),
                ValueError,
                ("kernel_size is 5", "size of the input, 4"),
            ),
            Refusal(
                f"{name}.num_connections with the batch axis",
                lambda w, make=make: make(w, 2).num_connections((1, 2, 6, 6)),
                ValueError,
                ("input_shape is (1, 2, 6, 6)", "without the batch axis"),
            ),
        )
    ),
    Refusal(
        "Subsample2d on three maps of two",
        lambda w: w.run(w.module.Subsample2d(2, 2), w.array((1, 3, 6, 6), X)),
        ValueError,
        ("x has shape (1, 3, 6, 6)", "(N, 2, H, W)"),
    ),
    Refusal(
        "Subsample2d on float64",
        lambda w: w.run(w.module.Subsample2d(2, 2), w.array((1, 2, 6, 6), "float64")),
        TypeError,
        ("x has dtype", "float64", "float32"),
    ),
    *(
        Refusal(
            f"Subsample2d of {channels!r} channels",
            lambda w, channels=channels: w.module.Subsample2d(channels, 2),
            error,
            (f"channels is {channels!r}",),
        )
        for channels, error in (
            (0, ValueError),
            (-1, ValueError),
            (2.0, TypeError),
            (True, TypeError),
            ("2", TypeError),
        )
    ),
    Refusal(
        "Subsample2d in int64",
        lambda w: w.module.Subsample2d(2, 2, dtype=w.dtype("int64")),
        TypeError,
        ("int64", "float32"),
    ),
    Refusal("Subsample2d in no dtype", lambda w: w.module.Subsample2d(2, 2, dtype=None), TypeError, ("dtype is None",)),
    # Flatten
    Refusal(
        "Flatten on (4,)",
        lambda w: w.run(w.module.Flatten(), w.array((4,), X)),
        ValueError,
        ("x has shape (4,)", "a batch axis and at least one more"),
    ),
    Refusal("Flatten on no axis", lambda w: w.run(w.module.Flatten(), w.array((), X)), ValueError, ("shape ()",)),
    Refusal(
        "Flatten on ints",
        lambda w: w.run(w.module.Flatten(), w.array((4, 3), "int64")),
        TypeError,
        ("int64", "convert with x."),
    ),
    Refusal(
        "Flatten.output_shape of ()", lambda w: w.module.Flatten().output_shape(()), ValueError, ("input_shape is ()",)
    ),
    # Canvas2d
    *(
        Refusal(
            f"Canvas2d on {height}×{width}",
            lambda w, shape=(1, 1, height, width): w.run(w.module.Canvas2d((8, 10)), w.array(shape, X)),
            ValueError,
            (f"{height}×{width}", "8×10", "even number"),
        )
        for height, width in ((9, 10), (10, 10), (8, 12), (7, 10), (8, 7))
    ),
    Refusal(
        "Canvas2d on rank 3",
        lambda w: w.run(w.module.Canvas2d(8), w.array((1, 8, 8), X)),
        ValueError,
        ("x has shape (1, 8, 8)", "(N, C, H, W)"),
    ),
    Refusal(
        "Canvas2d of more than float32 holds",
        lambda w: w.run(w.module.Canvas2d(8, 1e39), w.array((1, 1, 6, 6), X)),
        ValueError,
        ("value is 1e+39", "float32"),
    ),
    Refusal(
        "Canvas2d on bytes",
        lambda w: w.run(w.module.Canvas2d(8), w.array((1, 1, 8, 8), "uint8")),
        TypeError,
        ("uint8", "convert with x."),
    ),
    *(
        Refusal(f"Canvas2d{arguments}", lambda w, arguments=arguments: w.module.Canvas2d(*arguments), error, says)
        for arguments, error, says in (
            ((0,), ValueError, ("size is 0", "at least 1")),
            ((2.5,), TypeError, ("size is 2.5", "an int or a pair")),
            ((True,), TypeError, ("size is True", "an int or a pair")),
            (((8, 8, 8),), TypeError, ("size is (8, 8, 8)", "an int or a pair")),
            ((8, NAN), ValueError, ("value is nan", "finite")),
            ((8, float("inf")), ValueError, ("value is inf", "finite")),
            ((8, "0"), TypeError, ("value is '0'", "number")),
            ((8, None), TypeError, ("value is None", "number")),
        )
    ),
)
