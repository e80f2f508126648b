"""The layer contract: parameters, a forward that returns its cache, a backward that takes it back."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scratch.validation import Array, check_mapping, check_sample_shape, state_faults

Shape: TypeAlias = tuple[int, ...]
"""Of one sample, without the batch axis: (features,), (C, L) or (C, H, W)."""
Mask: TypeAlias = NDArray[np.bool_]
"""True where `Dropout` keeps a unit."""
Thinning: TypeAlias = np.random.Generator | Mapping[str, Mask] | None
"""What drops units: a generator that draws the masks, or the masks by the `Dropout` layers' names; None for nothing."""


class Module:
    """Base of all layers and networks.

    A layer holds its parameters and nothing else. What `backward` needs travels in the cache, in plain sight, so one
    layer may serve two batches, or two threads, at the same time.

    Source: 多层感知机 / BP 基本思想, "两个方向的信号流": the function signal forward, the error signal backward.
    """

    def forward(self, x: Array) -> tuple[Array, Any]:
        """Compute y = f(x).

        Returns
        -------
        y, cache:
            The output, not aliased to `x`, and what `backward` needs. The cache may refer to `x`, y and
            the parameters: call `backward` before changing any of them in place.
        """
        raise NotImplementedError(f"{type(self).__name__}.forward")

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Carry the gradient back through the layer.

        Parameters
        ----------
        dy:
            ∂J/∂y, with the shape and dtype of y.
        cache:
            What the forward pass returned beside y. It is only read: it may be used again.

        Returns
        -------
        dx, grads:
            ∂J/∂x, and ∂J/∂p for each parameter p under the parameter's name.
        """
        raise NotImplementedError(f"{type(self).__name__}.backward")

    def gradients(self, dy: Array, cache: Any) -> dict[str, Array]:
        """What `backward` returns second, without the cost of dx: the first layer of a network has no use for it."""
        return self.backward(dy, cache)[1]

    def parameters(self) -> dict[str, Array]:
        """The live parameter arrays by name, in order; an optimiser updates them in place."""
        return {}

    def dropouts(self) -> tuple[str, ...]:
        """Names of the `Dropout` layers in here, joined as parameters' are; a `Dropout` calls itself ""."""
        return ()

    @property
    def num_parameters(self) -> int:
        """How many numbers there are to train; an absent link has none."""
        return sum(array.size for array in self.parameters().values())

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one sample's output; raises `TypeError` or `ValueError` for an input that the layer would refuse."""
        return check_sample_shape(input_shape)

    def num_connections(self, input_shape: Shape) -> int:
        """How many links lead into the units of the layer, those from the biases included, as LeCun et al. count.

        Links from a convolution's padding count too, as if the zeros there were units.
        """
        self.output_shape(input_shape)
        return 0

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """How many products with a parameter or constant, each added to a sum, one forward pass of a sample takes."""
        self.output_shape(input_shape)
        return 0

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name: same keys, order, shapes and dtypes as the torch twin's."""
        return {name: parameter.copy() for name, parameter in self.parameters().items()}

    def load_state_dict(self, state: Mapping[str, Array], strict: bool = True) -> None:
        """Copy `state` into the parameters, all of it or nothing.

        Parameters
        ----------
        state:
            Arrays by parameter name.
        strict:
            Refuse missing and unexpected names; otherwise names without a partner are passed over.

        Raises
        ------
        TypeError
            If `state` is no mapping.
        ValueError
            Listing every missing, unexpected, misshapen or mistyped entry, and every parameter that is read-only;
            nothing has been loaded then.
        """
        check_mapping("state", state)
        own = self.parameters()
        if faults := state_faults(state, own, strict=strict):
            raise ValueError(f"state does not fit {type(self).__name__}: " + "; ".join(faults))
        for name, parameter in own.items():
            if name in state:
                parameter[...] = state[name]


class SequentialCache(NamedTuple):
    """The cache of each layer, by the layer's name."""

    layers: dict[str, Any]

    @property
    def masks(self) -> dict[str, Mask]:
        """The masks that dropped units, by the layers' joined names: what the twin needs to drop the same ones."""
        masks: dict[str, Mask] = {}
        for name, cache in self.layers.items():
            if isinstance(cache, SequentialCache):
                masks.update({f"{name}.{inner}": mask for inner, mask in cache.masks.items()})
            elif getattr(cache, "mask", None) is not None:
                masks[name] = cache.mask
        return masks


class Sequential(Module):
    """Named layers, one after the other: y = f_L(… f_2(f_1(x))).

    Parameters
    ----------
    layers:
        Modules by name, in the order of computation. Parameter names are joined as torch does: "fc1.weight".

    Raises
    ------
    ValueError
        If there is no layer, a name is empty or has a dot, or a layer with parameters stands twice.
    TypeError
        If an entry is not a `Module`.

    Source: 多层感知机 / BP 基本思想 / 变量关系, z^l = g_l(z^(l-1), W^l).
    """

    def __init__(self, layers: Mapping[str, Module]) -> None:
        if not layers:
            raise ValueError("layers is empty, expected at least one layer")
        for name, layer in layers.items():
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"layers has the name {name!r}, expected a non-empty name without a dot")
            if not isinstance(layer, Module):
                raise TypeError(f"layers[{name!r}] is a {type(layer).__name__}, expected a Module")
        arrays = [id(array) for layer in layers.values() for array in layer.parameters().values()]
        if len(set(arrays)) < len(arrays):
            raise ValueError("layers has one layer with parameters under two names, expected each to stand once")
        self.layers = dict(layers)

    def forward(self, x: Array, dropout: Thinning = None) -> tuple[Array, SequentialCache]:
        """Apply the layers in order; see `Module.forward`.

        Parameters
        ----------
        x:
            Input of the first layer.
        dropout:
            A generator turns the `Dropout` layers on, as in training; masks by their names drop exactly those units;
            None leaves them off. `cache.masks` has the masks that were used.

        Raises
        ------
        TypeError, ValueError
            If `dropout` is something else, or its names are not those of `dropouts()`.
        """
        caches = {}
        sources = self._sources(dropout)
        for name, layer in self.layers.items():
            x, caches[name] = layer.forward(x, *sources[name])
        return x, SequentialCache(caches)

    def predict(self, x: Array) -> Array:
        """The output alone: without a cache for the way back, each layer's memory serves the next but one."""
        for layer in self.layers.values():
            x = layer.forward(x)[0]
        return x

    def backward(self, dy: Array, cache: SequentialCache) -> tuple[Array, dict[str, Array]]:
        """Apply the layers' backward passes in reverse order; gradients come in the order of the parameters."""
        own: dict[str, dict[str, Array]] = {}
        for name, layer in reversed(self.layers.items()):
            dy, own[name] = layer.backward(dy, cache.layers[name])
        return dy, joined(own)

    def gradients(self, dy: Array, cache: SequentialCache) -> dict[str, Array]:
        """As `backward`, but only down to the first layer with parameters, and without the gradient of its input."""
        own: dict[str, dict[str, Array]] = {}
        last = next((name for name, layer in self.layers.items() if layer.parameters()), None)
        for name, layer in reversed(self.layers.items()):
            if name == last:
                own[name] = layer.gradients(dy, cache.layers[name])
                break
            dy, own[name] = layer.backward(dy, cache.layers[name])
        return joined(own)

    def parameters(self) -> dict[str, Array]:
        """The live parameter arrays of all layers by joined name, in the order of computation."""
        return {
            f"{name}.{parameter}": array
            for name, layer in self.layers.items()
            for parameter, array in layer.parameters().items()
        }

    def trace(self, x: Array, dropout: Thinning = None) -> dict[str, Array]:
        """The output of every layer by its name: the function signals a^1 … a^L on their way through the network."""
        outputs = {}
        sources = self._sources(dropout)
        for name, layer in self.layers.items():
            x, _ = layer.forward(x, *sources[name])
            outputs[name] = x
        return outputs

    def dropouts(self) -> tuple[str, ...]:
        """Names of the `Dropout` layers, joined with a dot where they stand in a network within this one."""
        return tuple(
            f"{name}.{inner}" if inner else name for name, layer in self.layers.items() for inner in layer.dropouts()
        )

    @property
    def num_parameters(self) -> int:
        """The sum over the layers."""
        return sum(layer.num_parameters for layer in self.layers.values())

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """The shape of every layer's output for one sample, by the layer's name; a refusal names the layer."""
        shapes = {}
        for name, layer in self.layers.items():
            try:
                input_shape = layer.output_shape(input_shape)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            shapes[name] = input_shape
        return shapes

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the last layer's output."""
        return list(self.shapes(input_shape).values())[-1]

    def num_connections(self, input_shape: Shape) -> int:
        """The sum over the layers."""
        inputs = [input_shape, *self.shapes(input_shape).values()]
        return sum(layer.num_connections(shape) for layer, shape in zip(self.layers.values(), inputs, strict=False))

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """The sum over the layers."""
        inputs = [input_shape, *self.shapes(input_shape).values()]
        return sum(layer.num_multiply_adds(shape) for layer, shape in zip(self.layers.values(), inputs, strict=False))

    def _sources(self, dropout: Any) -> dict[str, tuple[Any, ...]]:
        """What each layer's forward gets beside its input: nothing, but for those that drop units."""
        if dropout is None:
            return dict.fromkeys(self.layers, ())
        if isinstance(dropout, Mapping) and set(dropout) != set(self.dropouts()):
            raise ValueError(f"dropout has masks for {sorted(map(str, dropout))}, expected {sorted(self.dropouts())}")
        if not isinstance(dropout, np.random.Generator | Mapping):
            expected = "a numpy.random.Generator, masks by the layers' names or None"
            raise TypeError(f"dropout is a {type(dropout).__name__}, expected {expected}")
        sources: dict[str, tuple[Any, ...]] = {}
        for name, layer in self.layers.items():
            names = layer.dropouts()
            if not names:
                sources[name] = ()
            elif not isinstance(dropout, Mapping):
                sources[name] = (dropout,)
            elif names == ("",):
                sources[name] = (dropout[name],)
            else:
                sources[name] = ({inner: dropout[f"{name}.{inner}"] for inner in names},)
        return sources


def joined(grads: dict[str, dict[str, Array]]) -> dict[str, Array]:
    """The gradients of layers that were gone through in reverse, by joined name, in the order of the parameters."""
    return {f"{name}.{parameter}": grad for name, own in reversed(grads.items()) for parameter, grad in own.items()}
