"""Any torch module as a chain of layers by name, each of a kind that the analytic criteria know."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import torchref
from torchref.oracle.kinds.understood import understood
from torchref.oracle.thinning import Thinned


class Chain(NamedTuple):
    """A network taken apart: its layers in the order of computation, sharing its parameters, and what was guessed."""

    layers: dict[str, nn.Module]
    guesses: tuple[str, ...]


class NoChainError(ValueError):
    """A module is no chain of layers."""


class Call(NamedTuple):
    """One layer at work; x is None where it is not given one tensor."""

    name: str
    layer: nn.Module
    x: Any
    y: Any


WHOLE = "network"
"""What a module is called that is taken as one layer."""
GLUE: dict[str, Callable[[], nn.Module]] = {
    "flatten": torchref.Flatten,
    "relu": torchref.ReLU,
    "tanh": torchref.Tanh,
    "logistic": torchref.Logistic,
    "maxpool": lambda: torchref.MaxPool2d(2),
    "avgpool": lambda: torchref.AvgPool2d(2),
    "softmax": torchref.Softmax,
}
"""What custom modules do between their layers in plain functions; recognised by giving the same numbers bit for bit."""


def prepared(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy on the CPU, in that precision, whose layers draw nothing and change nothing in place.

    Batch normalisation stays in the mode it is in.
    """
    copied = calmed(copy.deepcopy(module).to("cpu", dtype))
    for layer in copied.modules():
        if getattr(layer, "inplace", False):
            setattr(layer, "inplace", False)  # noqa: B010 - not every module has it
    for parameter in copied.parameters():
        parameter.requires_grad_()
    return copied


def calmed(module: nn.Module) -> nn.Module:
    """The module with all layers that draw random numbers in evaluation mode."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd | nn.RReLU):
            layer.eval()
    return module


def leaves(module: nn.Module, prefix: str = "", *, deep: bool = True) -> Iterator[tuple[str, nn.Module]]:
    """The layers by joined name: modules without modules in them; unless `deep`, those with their own forward too."""
    children = list(module.named_children())
    whole = not deep and prefix and type(module).forward is not nn.Sequential.forward
    if not children or isinstance(module, Thinned) or whole:
        yield prefix, module
        return
    for name, child in children:
        yield from leaves(child, f"{prefix}.{name}" if prefix else name, deep=deep)


def observed(module: nn.Module, x: Tensor, *, deep: bool) -> tuple[list[Call], Tensor]:
    """Every layer's call in one forward pass, in order, and the output."""
    calls: list[Call] = []

    def noting(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            calls.append(Call(name, layer, args[0] if len(args) == 1 else None, output))

        return hook

    handles = [layer.register_forward_hook(noting(name)) for name, layer in leaves(module, deep=deep)]
    try:
        with torch.no_grad():
            output: Tensor = module(x)
    finally:
        for handle in handles:
            handle.remove()
    return calls, output


def chain_of(module: nn.Module, x: Tensor) -> Chain:
    """The chain that a module (`prepared`) is on this input: of its layers, of its blocks, or else of itself alone."""
    for deep in (True, False):
        try:
            return _chain(module, x, deep=deep)
        except NoChainError as error:
            why = str(error)
    return Chain({WHOLE: module}, (f"torch's module is taken as one layer: {why}",))


def _chain(module: nn.Module, x: Tensor, *, deep: bool) -> Chain:
    """The chain of a module's layers, or of its blocks.

    Raises
    ------
    NoChainError
        If it is none: layers that take two signals or skip others, parameters used twice.
    """
    calls, output = observed(module, x, deep=deep)
    layers: dict[str, nn.Module] = {}
    guesses: list[str] = []
    before = "the input"

    def join(given: Any, taken: Any, what: str) -> None:
        """Add what is done between two layers."""
        joining = glue(given, taken)
        if joining is None:
            where = f"between {before} and {what}"
            raise NoChainError(f"{where} it computes something else than layers")
        for name in joining:
            layers[_free(layers, f"{before}_{name}" if layers else name)] = GLUE[name]()
        if joining:
            guesses.append(f"torch's module goes through {', '.join(joining)} behind {before}")

    signal: Any = x
    for call in calls:
        called = call.name or "layer"
        join(signal, call.x, called)
        known = call.layer if isinstance(call.layer, Thinned) else understood(call.layer)
        if known is None:
            known = call.layer
            guesses.append(
                f"no rule is known for {called}, {type(known).__name__}: what rounding does to it is measured"
            )
        layers[_free(layers, called)] = known
        signal, before = call.y, called
    join(signal, output, "the output")
    held = [id(p) for layer in layers.values() for p in layer.parameters()]
    if sorted(held) != sorted(id(p) for p in module.parameters()):
        raise NoChainError("it has parameters outside of its layers, or a layer with parameters at work twice")
    return Chain(layers, tuple(guesses))


def glue(given: Any, taken: Any) -> tuple[str, ...] | None:
    """The shortest way from what a layer gave to what the next one took; None if none is known."""
    if given is taken:
        return ()
    if not isinstance(given, Tensor) or not isinstance(taken, Tensor):
        return None
    for length in range(4):
        for names in itertools.product(GLUE, repeat=length):
            signal = given
            try:
                for name in names:
                    signal = GLUE[name]()(signal)
            except (TypeError, ValueError):
                continue
            if signal.shape == taken.shape and signal.equal(taken):
                return names
    return None


def _free(layers: Mapping[str, nn.Module], name: str) -> str:
    """The name, or one made of it that no layer has yet."""
    return next(n for n in itertools.chain([name], (f"{name}#{i}" for i in itertools.count(2))) if n not in layers)


LOSSES: dict[Any, Callable[[], nn.Module]] = {
    nn.functional.cross_entropy: torchref.CrossEntropy,
    nn.functional.mse_loss: nn.MSELoss,
    "cross_entropy": torchref.CrossEntropy,
    "squared_error": torchref.SquaredError,
    "mse": nn.MSELoss,
}
"""By torch's function, or by name."""


def loss_of(loss: Any) -> nn.Module:
    """The loss as a module that the criteria know.

    Raises
    ------
    ValueError
        If there is none.
    """
    known = understood(loss) if isinstance(loss, nn.Module) else None
    if known is None and loss in LOSSES:
        known = LOSSES[loss]()
    if known is None:
        raise ValueError(f"no criterion is known for the loss {loss!r}, expected one of torchref's or torch's")
    return known
