"""Bad input for the standardizer: arguments, samples, inputs before and after it has learnt, states."""

from typing import Any

from tests.refusals.refusal import Refusal, Wing, X

NAN, INFINITY = float("nan"), float("inf")


def fitted(w: Wing, stage: str = "equalized") -> Any:
    """One that has learnt from two samples of three features, which differ in the first two: of rank 1."""
    x = w.array((2, 3), X)
    x[1, 0], x[1, 1] = 3, 4
    return w.module.Standardizer(3, stage).fit(x)


def strange(w: Wing, *values: float, dtype: str = X) -> Any:
    """Four samples with such values, from the second sample's last feature on."""
    x = w.array((4, 3), dtype)
    for place, value in enumerate(values, start=5):
        x[place // 3, place % 3] = value
    return x


def state(w: Wing, **others: Any) -> dict[str, Any]:
    """What the fitted one has learnt, but for `others`; None leaves an entry out."""
    entries = fitted(w).state_dict() | others
    return {name: value for name, value in entries.items() if value is not None}


def load(w: Wing, entries: Any) -> None:
    """Into a new one."""
    w.module.Standardizer(3).load_state_dict(entries)


def count(w: Wing, number: int) -> Any:
    """A scalar int64."""
    return w.labels([number])[0:1].reshape(())


REFUSALS = (
    # Constructor arguments
    *(
        Refusal(
            f"Standardizer({size!r})", lambda w, size=size: w.module.Standardizer(size), error, ("num_features", says)
        )
        for size, error, says in (
            (0, ValueError, "0, expected at least 1"),
            (-1, ValueError, "-1"),
            (2.5, TypeError, "2.5"),
            (True, TypeError, "True"),
        )
    ),
    *(
        Refusal(
            f"Standardizer, stage {stage!r}",
            lambda w, stage=stage: w.module.Standardizer(3, stage),
            ValueError,
            (f"stage is {stage!r}", "'centered', 'decorrelated' or 'equalized'"),
        )
        for stage in ("whitened", "", None, 2)
    ),
    *(
        Refusal(
            f"Standardizer, tolerance {tolerance!r}",
            lambda w, tolerance=tolerance: w.module.Standardizer(3, tolerance=tolerance),
            error,
            ("tolerance is", says),
        )
        for tolerance, error, says in (
            (-1e-9, ValueError, "at least 0"),
            (1, ValueError, "less than 1"),
            (NAN, ValueError, "finite"),
            ("0", TypeError, "number"),
        )
    ),
    Refusal(
        "Standardizer in float16", lambda w: w.module.Standardizer(3, dtype=w.dtype("float16")), TypeError, ("16",)
    ),
    Refusal("Standardizer in no dtype", lambda w: w.module.Standardizer(3, dtype=None), TypeError, ("dtype is None",)),
    # Before anything has been learnt
    *(
        Refusal(
            f"Standardizer, {name} of nothing learnt",
            lambda w, name=name: getattr(w.module.Standardizer(3), name),
            RuntimeError,
            ("Standardizer", "no samples", "fit"),
        )
        for name in ("mean", "axes", "variances", "kept", "rank", "out_features")
    ),
    *(
        Refusal(
            f"Standardizer, {name} before it has learnt, {stage}",
            lambda w, name=name, stage=stage: getattr(w.module.Standardizer(3, stage), name)(w.array((4, 3), X)),
            RuntimeError,
            ("Standardizer", "no samples", "fit"),
        )
        for name in ("transform", "inverse_transform")
        for stage in ("centered", "decorrelated", "equalized")
    ),
    Refusal(
        "Standardizer, the state of nothing learnt",
        lambda w: w.module.Standardizer(3).state_dict(),
        RuntimeError,
        ("no samples", "fit"),
    ),
    # Samples, and inputs
    *(
        refusal
        for name, call in (
            ("fit", lambda w, x: fitted(w).fit(x)),
            ("partial_fit", lambda w, x: fitted(w).partial_fit(x)),
            ("transform", lambda w, x: fitted(w).transform(x)),
        )
        for refusal in (
            Refusal(
                f"Standardizer, {name} of another width",
                lambda w, call=call: call(w, w.array((4, 5), X)),
                ValueError,
                ("x has shape (4, 5), expected (N, 3)",),
            ),
            Refusal(
                f"Standardizer, {name} of one sample without its axis",
                lambda w, call=call: call(w, w.array((3,), X)),
                ValueError,
                ("x has shape (3,), expected (N, 3)",),
            ),
            Refusal(
                f"Standardizer, {name} of images",
                lambda w, call=call: call(w, w.array((2, 3, 3), X)),
                ValueError,
                ("x has shape (2, 3, 3), expected (N, 3)",),
            ),
            Refusal(
                f"Standardizer, {name} in float64",
                lambda w, call=call: call(w, w.array((4, 3), "float64")),
                TypeError,
                ("x has dtype", "float64", "float32"),
            ),
            Refusal(
                f"Standardizer, {name} of bytes",
                lambda w, call=call: call(w, w.array((4, 3), "uint8")),
                TypeError,
                ("x has dtype", "uint8", "convert"),
            ),
            Refusal(
                f"Standardizer, {name} of a list",
                lambda w, call=call: call(w, [[0.0, 0.0, 0.0]]),
                TypeError,
                ("x is a list",),
            ),
            Refusal(
                f"Standardizer, {name} of the other wing's",
                lambda w, call=call: call(w, w.foreign((4, 3), X)),
                TypeError,
                ("x is a",),
            ),
            Refusal(
                f"Standardizer, {name} of NaN",
                lambda w, call=call: call(w, strange(w, NAN)),
                ValueError,
                ("x is not finite in 1 of 12 entries, the first nan at (1, 2)",),
            ),
            Refusal(
                f"Standardizer, {name} of infinities",
                lambda w, call=call: call(w, strange(w, 7, -INFINITY, NAN, INFINITY)),
                ValueError,
                ("x is not finite in 3 of 12 entries, the first -inf at (2, 0)",),
            ),
        )
    ),
    *(
        Refusal(
            f"Standardizer, {name} of no rows",
            lambda w, name=name: getattr(fitted(w), name)(w.array((0, 3), X)),
            ValueError,
            ("x has shape (0, 3)", "at least one"),
        )
        for name in ("fit", "partial_fit")
    ),
    Refusal(
        "Standardizer, squares overflow",
        lambda w: w.module.Standardizer(3, dtype=w.dtype("float64")).fit(strange(w, -1e200, dtype="float64")),
        ValueError,
        ("x has values of size 1e+200", "at most 1e+140"),
    ),
    Refusal(
        "Standardizer, back from D components of rank 1",
        lambda w: fitted(w).inverse_transform(w.array((4, 3), X)),
        ValueError,
        ("z has shape (4, 3), expected (N, 1)",),
    ),
    Refusal(
        "Standardizer, back from rank components of D",
        lambda w: fitted(w, "decorrelated").inverse_transform(w.array((4, 1), X)),
        ValueError,
        ("z has shape (4, 1), expected (N, 3)",),
    ),
    Refusal(
        "Standardizer, back from another dtype",
        lambda w: fitted(w).inverse_transform(w.array((4, 1), "float64")),
        TypeError,
        ("z has dtype", "float64"),
    ),
    Refusal(
        "Standardizer, back from NaN",
        lambda w: fitted(w, "centered").inverse_transform(strange(w, NAN)),
        ValueError,
        ("z is not finite in 1 of 12 entries, the first nan at (1, 2)",),
    ),
    # States
    Refusal("Standardizer, a list for a state", lambda w: load(w, []), TypeError, ("state is a list", "mapping")),
    Refusal(
        "Standardizer, a state with nothing right",
        lambda w: load(
            w, state(w, mean=w.array((3,), X), axes=w.array((3, 2), "float64"), variances=None, scale=w.array((3,), X))
        ),
        ValueError,
        ("missing variances (3,)", "unexpected scale", "mean has dtype", "axes has shape (3, 2), expected (3, 3)"),
    ),
    Refusal(
        "Standardizer, a state of another width",
        lambda w: w.module.Standardizer(4).load_state_dict(state(w)),
        ValueError,
        ("mean has shape (3,), expected (4,)", "axes has shape (3, 3), expected (4, 4)"),
    ),
    Refusal(
        "Standardizer, a state of no samples",
        lambda w: load(w, state(w, count=count(w, 0))),
        ValueError,
        ("state['count'] is 0", "at least 1"),
    ),
    Refusal(
        "Standardizer, a state with NaN",
        lambda w: load(w, state(w, mean=strange(w, NAN, dtype="float64")[1])),
        ValueError,
        ("state['mean'] is not finite in 1 of 3 entries, the first nan at (2,)",),
    ),
    Refusal(
        "Standardizer, a state with a negative variance",
        lambda w: load(w, state(w, variances=strange(w, -0.5, dtype="float64")[1])),
        ValueError,
        ("state['variances']", "-0.5", "at least 0"),
    ),
    Refusal(
        "Standardizer, a state with rising variances",
        lambda w: load(w, state(w, variances=strange(w, 2, dtype="float64")[1])),
        ValueError,
        ("state['variances'] rise after entry 1", "largest down"),
    ),
    Refusal(
        "Standardizer, a state with a variance no inputs have",
        lambda w: load(w, state(w, variances=strange(w, 0, 1e308, dtype="float64")[2])),
        ValueError,
        ("state['variances'] has values of size 1e+308", "at most 3e+280"),
    ),
    Refusal(
        "Standardizer, a state with a mean no inputs have",
        lambda w: load(w, state(w, mean=strange(w, -1e308, dtype="float64")[1])),
        ValueError,
        ("state['mean'] has values of size 1e+308", "at most 1e+140"),
    ),
    *(
        Refusal(
            f"Standardizer, a state with {name} for axes",
            lambda w, factor=factor: load(w, state(w, axes=factor * fitted(w).axes)),
            ValueError,
            ("state['axes'] are orthogonal unit vectors only up to", "expected 1e-06"),
        )
        for name, factor in (("zeros", 0), ("too long ones", 2), ("hardly too long ones", 1 + 1e-6))
    ),
    Refusal(
        "Standardizer, a state with oblique axes",
        lambda w: load(w, state(w, axes=strange(w, dtype="float64")[:3] + 3**-0.5)),
        ValueError,
        ("state['axes'] are orthogonal unit vectors only up to 1, expected 1e-06",),
    ),
)
