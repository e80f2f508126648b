"""Bad input for the perceptron's layers, losses, optimisers and states."""

from typing import Any

from tests.refusals.refusal import Refusal, Wing, X

REFUSALS = (
    # Constructor arguments
    Refusal("Linear without inputs", lambda w: w.module.Linear(0, 4), ValueError, ("in_features", "0", "at least 1")),
    Refusal("Linear with -1 outputs", lambda w: w.module.Linear(4, -1), ValueError, ("out_features", "-1")),
    Refusal("Linear with 2.5 inputs", lambda w: w.module.Linear(2.5, 4), TypeError, ("in_features", "2.5", "int")),
    Refusal("Linear with True inputs", lambda w: w.module.Linear(True, 4), TypeError, ("in_features", "True")),
    Refusal("Linear in float16", lambda w: w.module.Linear(2, 4, dtype=w.dtype("float16")), TypeError, ("float16",)),
    Refusal("Linear in int64", lambda w: w.module.Linear(2, 4, dtype=w.dtype("int64")), TypeError, ("int64",)),
    Refusal("Linear in no dtype", lambda w: w.module.Linear(2, 4, dtype=None), TypeError, ("dtype is None", "float32")),
    Refusal("Linear, a bare seed", lambda w: w.module.Linear(2, 4, rng=0), TypeError, ("rng is 0", "enerator")),
    Refusal("MLP, a bare seed", lambda w: w.module.MLP((2, 4), rng=42), TypeError, ("rng is 42", "enerator")),
    Refusal("MLP of a number", lambda w: w.module.MLP(5), TypeError, ("sizes is 5", "sequence")),
    Refusal("MLP of a string", lambda w: w.module.MLP("5"), TypeError, ("sizes is '5'", "sequence")),
    Refusal("MLP without hidden layers, no activation", lambda w: w.module.MLP((3, 2), 3), TypeError, ("is 3",)),
    Refusal("Logistic a=0", lambda w: w.module.Logistic(0), ValueError, ("a is 0", "greater than 0")),
    Refusal("Logistic a=nan", lambda w: w.module.Logistic(float("nan")), ValueError, ("a is nan", "finite")),
    Refusal("Logistic a='x'", lambda w: w.module.Logistic("x"), TypeError, ("a is 'x'", "number")),
    Refusal("Tanh a=-1", lambda w: w.module.Tanh(-1.0), ValueError, ("a is -1", "greater than 0")),
    Refusal("Tanh b=inf", lambda w: w.module.Tanh(1.0, float("inf")), ValueError, ("b is inf", "finite")),
    Refusal("Sequential of nothing", lambda w: w.module.Sequential({}), ValueError, ("layers is empty",)),
    Refusal("Sequential, dotted", lambda w: w.module.Sequential({"a.b": w.module.ReLU()}), ValueError, ("'a.b'",)),
    Refusal("Sequential, nameless", lambda w: w.module.Sequential({"": w.module.ReLU()}), ValueError, ("''",)),
    Refusal("Sequential of a class", lambda w: w.module.Sequential({"a": w.module.ReLU}), TypeError, ("'a'", "type")),
    Refusal(
        "Sequential, a layer with parameters twice",
        lambda w: (lambda layer: w.module.Sequential({"a": layer, "b": layer}))(w.module.Linear(3, 3)),
        ValueError,
        ("under two names",),
    ),
    Refusal(
        "Sequential, a layer with parameters twice, once nested",
        lambda w: (lambda one: w.module.Sequential({"a": w.module.Sequential({"l": one}), "b": one}))(
            w.module.Linear(3, 3)
        ),
        ValueError,
        ("under two names",),
    ),
    Refusal("Sequential, name a number", lambda w: w.module.Sequential({1: w.module.ReLU()}), ValueError, ("name 1",)),
    Refusal("MLP of one size", lambda w: w.module.MLP((3,)), ValueError, ("(3,)", "at least two")),
    Refusal("MLP with 0 units", lambda w: w.module.MLP((3, 0, 2)), ValueError, ("sizes[1]", "0")),
    Refusal("MLP with '3' units", lambda w: w.module.MLP((3, "3")), TypeError, ("sizes[1]", "'3'")),
    Refusal("MLP, activation a string", lambda w: w.module.MLP((3, 2, 2), "tanh"), TypeError, ("'tanh'",)),
    Refusal("MLP, activation a number", lambda w: w.module.MLP((3, 2, 2), 3), TypeError, ("activation is 3",)),
    Refusal("MLP, factory of a number", lambda w: w.module.MLP((3, 2, 2), lambda: 3), TypeError, ("activation",)),
    Refusal(
        "MLP, too many activations",
        lambda w: w.module.MLP((3, 2, 2), [w.module.Tanh] * 3),
        ValueError,
        ("activation", "1 or 2"),
    ),
    *(
        Refusal(
            f"MLP, dropout {p!r}",
            lambda w, p=p: w.module.MLP((3, 2), dropout=p),
            error,
            (f"dropout is {p!r}", expected),
        )
        for p, error, expected in (
            (1.0, ValueError, "less than 1"),
            (-0.1, ValueError, "at least 0"),
            (True, TypeError, "number"),
        )
    ),
    Refusal("SquaredError('max')", lambda w: w.module.SquaredError("max"), ValueError, ("'max'", "'mean' or 'sum'")),
    Refusal("CrossEntropy('none')", lambda w: w.module.CrossEntropy("none"), ValueError, ("'none'", "'sum'")),
    Refusal("L2Penalty(-1)", lambda w: w.module.L2Penalty(-1.0), ValueError, ("decay is -1", "at least 0")),
    Refusal("SGD(lr=nan)", lambda w: w.module.SGD(float("nan")), ValueError, ("lr is nan", "finite")),
    Refusal("SGD(lr=10**400)", lambda w: w.module.SGD(10**400), ValueError, ("lr is 1000", "finite")),
    Refusal("SGD(lr=0)", lambda w: w.module.SGD(0.0), ValueError, ("lr is 0", "greater than 0")),
    Refusal("SGD(lr='0.1')", lambda w: w.module.SGD("0.1"), TypeError, ("lr is '0.1'",)),
    Refusal("SGD(momentum=1)", lambda w: w.module.SGD(0.1, 1.0), ValueError, ("momentum is 1", "less than 1")),
    Refusal("SGD(momentum=-0.1)", lambda w: w.module.SGD(0.1, -0.1), ValueError, ("momentum", "at least 0")),
    Refusal("SGD(weight_decay=-1)", lambda w: w.module.SGD(0.1, 0, -1), ValueError, ("weight_decay", "at least 0")),
    # Inputs of layers
    Refusal(
        "Linear on a float64 input",
        lambda w: w.run(w.module.Linear(3, 2), w.array((4, 3), "float64")),
        TypeError,
        ("x has dtype", "float64", "float32"),
    ),
    Refusal("Linear on integers", lambda w: w.run(w.module.Linear(3, 2), w.labels([1, 2, 3])), TypeError, ("int64",)),
    Refusal("Linear on a list", lambda w: w.run(w.module.Linear(3, 2), [[1.0, 2.0, 3.0]]), TypeError, ("list",)),
    Refusal(
        "Linear on 4 features",
        lambda w: w.run(w.module.Linear(3, 2), w.array((5, 4), X)),
        ValueError,
        ("x has shape (5, 4)", "(N, 3)"),
    ),
    Refusal(
        "Linear on one sample without a batch axis",
        lambda w: w.run(w.module.Linear(3, 2), w.array((3,), X)),
        ValueError,
        ("x has shape (3,)", "(N, 3)"),
    ),
    Refusal("Softmax on (5,)", lambda w: w.run(w.module.Softmax(), w.array((5,), X)), ValueError, ("(5,)", "(N, K)")),
    Refusal(
        "Softmax.output_shape of maps",
        lambda w: w.module.Softmax().output_shape((3, 4, 4)),
        ValueError,
        ("input_shape is (3, 4, 4)", "(K,)"),
    ),
    Refusal("Tanh.output_shape of a word", lambda w: w.module.Tanh().output_shape("abc"), TypeError, ("'abc'",)),
    Refusal(
        "Softmax on (2, 3, 4)",
        lambda w: w.run(w.module.Softmax(), w.array((2, 3, 4), X)),
        ValueError,
        ("(2, 3, 4)", "(N, K)"),
    ),
    *(
        Refusal(
            f"{name} on integers",
            lambda w, name=name: w.run(getattr(w.module, name)(), w.labels([1, 2])),
            TypeError,
            ("x.dtype is", "int64", "float32"),
        )
        for name in ("Threshold", "Logistic", "Tanh", "ReLU", "Identity", "Softmax")
    ),
    Refusal("Tanh on no axis", lambda w: w.run(w.module.Tanh(), w.array((), X)), ValueError, ("shape ()", "one axis")),
    Refusal("Tanh on float16", lambda w: w.run(w.module.Tanh(), w.array((2,), "float16")), TypeError, ("float16",)),
    Refusal("MLP on 5 features", lambda w: w.run(w.module.MLP((4, 3)), w.array((2, 5), X)), ValueError, ("(N, 4)",)),
    # Losses
    *(
        refusal
        for name in ("SquaredError", "CrossEntropy")
        for refusal in (
            Refusal(
                f"{name}, label 10 of 10",
                lambda w, name=name: w.run(getattr(w.module, name)(), w.array((3, 10), X), w.labels([0, 10, 9])),
                ValueError,
                ("target[1] is 10", "from 0 to 9"),
            ),
            Refusal(
                f"{name}, label -1",
                lambda w, name=name: w.run(getattr(w.module, name)(), w.array((2, 10), X), w.labels([3, -1])),
                ValueError,
                ("target[1] is -1", "from 0 to 9"),
            ),
            Refusal(
                f"{name}, a label too few",
                lambda w, name=name: w.run(getattr(w.module, name)(), w.array((3, 10), X), w.labels([3, 1])),
                ValueError,
                ("target has shape (2,)", "(3,)"),
            ),
            Refusal(
                f"{name}, labels in a list",
                lambda w, name=name: w.run(getattr(w.module, name)(), w.array((2, 10), X), [3, 1]),
                TypeError,
                ("target is list", "integer"),
            ),
            Refusal(
                f"{name}, output of rank 1",
                lambda w, name=name: w.run(getattr(w.module, name)(), w.array((10,), X), w.labels([3])),
                ValueError,
                ("output has shape (10,)", "(N, K)"),
            ),
            Refusal(
                f"{name}, integer output",
                lambda w, name=name: w.run(getattr(w.module, name)(), w.labels([1]), w.labels([1])),
                TypeError,
                ("output.dtype is", "int64"),
            ),
        )
    ),
    Refusal(
        "SquaredError, dense target of another shape",
        lambda w: w.run(w.module.SquaredError(), w.array((3, 4), X), w.array((3, 5), X)),
        ValueError,
        ("target has shape (3, 5)", "(3, 4)"),
    ),
    Refusal(
        "SquaredError, dense target of another dtype",
        lambda w: w.run(w.module.SquaredError(), w.array((3, 4), X), w.array((3, 4), "float64")),
        TypeError,
        ("target has dtype", "float64", "float32"),
    ),
    Refusal(
        "CrossEntropy, dense target",
        lambda w: w.run(w.module.CrossEntropy(), w.array((3, 4), X), w.array((3, 4), X)),
        TypeError,
        ("target is", "float32", "integer"),
    ),
    # Penalties and optimisers
    Refusal(
        "L2Penalty without a weight",
        lambda w: w.run(w.module.L2Penalty(0.1), {"fc1.bias": w.array((3,), X)}),
        ValueError,
        ("fc1.bias", "ends in 'weight'"),
    ),
    Refusal(
        "L2Penalty of integers",
        lambda w: w.run(w.module.L2Penalty(0.1), {"weight": w.labels([1])}),
        TypeError,
        ("weight", "int64"),
    ),
    Refusal(
        "L2Penalty of two dtypes",
        lambda w: w.run(w.module.L2Penalty(0.1), {"a.weight": w.array((2,), X), "b.weight": w.array((2,), "float64")}),
        TypeError,
        ("b.weight", "float64", "float32"),
    ),
    Refusal(
        "SGD, a gradient missing and one too many",
        lambda w: w.module.SGD(0.1).step({"a": w.array((2,), X)}, {"b": w.array((2,), X)}),
        ValueError,
        ("missing ['a']", "unexpected ['b']"),
    ),
    Refusal(
        "SGD, a gradient of another shape",
        lambda w: w.module.SGD(0.1).step({"a": w.array((2,), X)}, {"a": w.array((3,), X)}),
        ValueError,
        ("grads['a'] has shape (3,)", "(2,)"),
    ),
    Refusal(
        "SGD, a gradient of another dtype",
        lambda w: w.module.SGD(0.1).step({"a": w.array((2,), X)}, {"a": w.array((2,), "float64")}),
        TypeError,
        ("grads['a'] has dtype", "float64"),
    ),
    Refusal(
        "SGD, a velocity of other parameters",
        lambda w: _with_velocity(w, {"b": w.array((2,), X)}),
        ValueError,
        ("velocity does not fit", "missing ['a']", "unexpected ['b']"),
    ),
    Refusal(
        "SGD, a velocity of another shape",
        lambda w: _with_velocity(w, {"a": w.array((3,), X)}),
        ValueError,
        ("velocity['a'] has shape (3,)",),
    ),
    Refusal(
        "SGD, gradients None",
        lambda w: w.module.SGD(0.1).step({"a": w.array((2,), X)}, None),
        TypeError,
        ("grads is a NoneType", "mapping"),
    ),
    Refusal(
        "SGD, a state of numbers",
        lambda w: w.module.SGD(0.1).load_state_dict({"a": 1}),
        TypeError,
        ("state['a'] is a int",),
    ),
    Refusal("SGD, no state", lambda w: w.module.SGD(0.1).load_state_dict(None), TypeError, ("state is a NoneType",)),
    Refusal(
        "L2Penalty of nothing", lambda w: w.run(w.module.L2Penalty(0.1), None), TypeError, ("params is a NoneType",)
    ),
    # States
    Refusal("MLP, no state", lambda w: w.module.MLP((2, 2)).load_state_dict(None), TypeError, ("state is a NoneType",)),
    Refusal(
        "a state that misses, adds, misshapes and mistypes",
        lambda w: w.module.MLP((4, 3, 2)).load_state_dict(
            {
                "fc1.weight": w.array((4, 3), X),
                "fc2.weight": w.array((2, 3), "float64"),
                "fc2.bias": [0.0, 0.0],
                "fc3.bias": w.array((2,), X),
            }
        ),
        ValueError,
        (
            "MLP",
            "missing fc1.bias (3,)",
            "unexpected fc3.bias",
            "fc1.weight has shape (4, 3), expected (3, 4)",
            "fc2.weight has dtype",
            "fc2.bias is a list",
        ),
    ),
    # Initialisers
    Refusal(
        "lecun_uniform without a fan-in",
        lambda w: w.module.init.lecun_uniform((3, 0), rng=w.generator()),
        ValueError,
        ("(3, 0)", "fan-in"),
    ),
    Refusal(
        "lecun_uniform in int32",
        lambda w: w.module.init.lecun_uniform((3, 2), rng=w.generator(), dtype=w.dtype("int32")),
        TypeError,
        ("int32", "float32"),
    ),
)


def _with_velocity(wing: Wing, velocity: dict[str, Any]) -> None:
    optimizer = wing.module.SGD(0.1, momentum=0.9)
    optimizer.load_state_dict(velocity)
    optimizer.step({"a": wing.array((2,), X)}, {"a": wing.array((2,), X)})
