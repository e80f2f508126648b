"""A copy of `scratch` as courses' function pairs: out, cache = forward(x, w, b, …), dx, dw, db = backward(dout, cache).

What the copy keeps on a layer from call to call it would here keep in a module's variable: one object lives on for
each configuration.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

CLASSES = {
    "linear": "Linear",
    "threshold": "Threshold",
    "logistic": "Logistic",
    "tanh": "Tanh",
    "relu": "ReLU",
    "identity": "Identity",
    "softmax": "Softmax",
    "conv2d": "Conv2d",
    "conv1d": "Conv1d",
    "avgpool2d": "AvgPool2d",
    "maxpool2d": "MaxPool2d",
    "subsample2d": "Subsample2d",
    "flatten": "Flatten",
    "canvas2d": "Canvas2d",
    "dropout": "Dropout",
    "cross_entropy": "CrossEntropy",
    "squared_error": "SquaredError",
    "l2_penalty": "L2Penalty",
    "sgd": "SGD",
}
"""The class that a kind is about, by the kind's name."""

Pair = tuple[Callable[..., Any], Callable[..., Any] | None]


def pair(wing: ModuleType, kind: str) -> Pair:
    """The functions of a kind; of an optimiser or initialiser there is only the first."""
    make = living(getattr(wing, CLASSES[kind])) if kind in CLASSES else None
    if kind in WEIGHTED:
        return WEIGHTED[kind](make)
    if kind in PLAIN:
        return _plain(PLAIN[kind](make))
    return OTHERS[kind](wing)


def living(layer: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a layer of each configuration once, for each dtype of the arrays it gets."""
    made: dict[str, Any] = {}

    def make(given: Any, *args: Any, **settings: Any) -> Any:
        key = repr((given.dtype, args, sorted((name, repr(value)) for name, value in settings.items())))
        if key not in made:
            made[key] = layer(*args, **settings)
        return made[key]

    return make


def _weighted(of: Callable[..., Any]) -> Callable[[Any], tuple[Callable[..., Any], Callable[..., Any]]]:
    """A pair of a layer with w and b: `of(make, w, b, …)` finds the object; its own w and b are the user's."""

    def both(make: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
        def run(x: Any, w: Any, b: Any, *settings: Any) -> tuple[Any, Any]:
            layer = of(make, w, b, *settings)
            layer.weight, layer.bias = w, b
            out, kept = layer.forward(x)
            return out, (layer, kept, w, b)

        def backward(dout: Any, cache: Any) -> tuple[Any, ...]:
            layer, kept, layer.weight, layer.bias = cache
            dx, grads = layer.backward(dout, kept)
            return (dx, grads["weight"], grads["bias"]) if "bias" in grads else (dx, grads["weight"])

        return run, backward

    return both


def _linear(make: Any) -> Pair:
    of = _weighted(lambda make, w, b: make(w, w.shape[1], w.shape[0], bias=b is not None, dtype=w.dtype))
    run, backward = of(make)

    def affine_forward(x: Any, w: Any, b: Any = None) -> Any:
        return run(x, w, b)

    return affine_forward, backward


def _convolution(make: Any) -> Pair:
    def of(make: Any, w: Any, b: Any, stride: Any, pad: Any, table: Any) -> Any:
        kernel = tuple(w.shape[2:]) if w.ndim == 4 else w.shape[2]
        more = {"bias": b is not None, "connections": table, "dtype": w.dtype}
        return make(w, w.shape[1], w.shape[0], kernel, stride, pad, **more)

    run, backward = _weighted(of)(make)

    def conv_forward(x: Any, w: Any, b: Any = None, stride: Any = 1, pad: Any = 0, connections: Any = None) -> Any:
        return run(x, w, b, stride, pad, connections)

    return conv_forward, backward


def _subsampling(make: Any) -> Pair:
    run, backward = _weighted(lambda make, w, _, size, stride: make(w, len(w), size, stride, dtype=w.dtype))(make)

    def subsample_forward(x: Any, w: Any, b: Any, kernel_size: Any, stride: Any = None) -> Any:
        return run(x, w, b, kernel_size, stride)

    return subsample_forward, backward


WEIGHTED = {"linear": _linear, "conv2d": _convolution, "conv1d": _convolution, "subsample2d": _subsampling}


def _plain(forward: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A pair of a layer without parameters."""

    def backward(dout: Any, cache: Any) -> Any:
        layer, kept = cache
        return layer.backward(dout, kept)[0]

    return forward, backward


def _run(layer: Any, x: Any, *more: Any) -> tuple[Any, Any]:
    out, kept = layer.forward(x, *more)
    return out, (layer, kept)


def _activation(make: Any) -> Callable[..., Any]:
    return lambda x: _run(make(x), x)


def _logistic(make: Any) -> Callable[..., Any]:
    return lambda x, a=1.0: _run(make(x, a), x)


def _tanh(make: Any) -> Callable[..., Any]:
    return lambda x, a=1.0, b=1.0: _run(make(x, a, b), x)


def _pool(make: Any) -> Callable[..., Any]:
    return lambda x, kernel_size, stride=None: _run(make(x, kernel_size, stride), x)


def _canvas(make: Any) -> Callable[..., Any]:
    return lambda x, size, value=0.0: _run(make(x, size, value), x)


def _dropout(make: Any) -> Callable[..., Any]:
    return lambda x, mask, p=0.5: _run(make(x, p), x, mask)


PLAIN: Mapping[str, Callable[[Any], Callable[..., Any]]] = {
    **dict.fromkeys(("threshold", "relu", "identity", "softmax", "flatten"), _activation),
    "logistic": _logistic,
    "tanh": _tanh,
    "avgpool2d": _pool,
    "maxpool2d": _pool,
    "canvas2d": _canvas,
    "dropout": _dropout,
}


def _loss(name: str) -> Callable[[ModuleType], Pair]:
    def both(wing: ModuleType) -> Pair:
        make = living(getattr(wing, CLASSES[name]))

        def loss_forward(output: Any, target: Any, reduction: str = "mean") -> Any:
            loss = make(output, reduction)
            value, kept = loss.forward(output, target)
            return value, (loss, kept)

        return loss_forward, lambda cache: cache[0].backward(cache[1])

    return both


def _penalty(wing: ModuleType) -> Pair:
    make = living(wing.L2Penalty)

    def penalty_forward(params: Any, decay: float) -> Any:
        penalty = make(next(iter(params.values())), decay)
        value, kept = penalty.forward(params)
        return value, (penalty, kept)

    return penalty_forward, lambda cache: cache[0].backward(cache[1])


def _sgd(wing: ModuleType) -> Pair:
    def sgd(params: Any, grads: Any, state: Any, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        """Changes the parameters in place; `state` has the velocities."""
        optimizer = wing.SGD(lr, momentum, weight_decay)
        optimizer.velocity = state
        optimizer.step(params, grads)

    return sgd, None


def _lecun_uniform(wing: ModuleType) -> Pair:
    return wing.init.lecun_uniform, None


def _dropout_mask(wing: ModuleType) -> Pair:
    return wing.regularization.dropout_mask, None


OTHERS: Mapping[str, Callable[[ModuleType], Pair]] = {
    "cross_entropy": _loss("cross_entropy"),
    "squared_error": _loss("squared_error"),
    "l2_penalty": _penalty,
    "sgd": _sgd,
    "lecun_uniform": _lecun_uniform,
    "dropout_mask": _dropout_mask,
}
