"""Torch's modules, with a state dict that is loaded whole or not at all."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from torchref.validation import check_mapping, check_sample_shape, state_faults

Shape: TypeAlias = tuple[int, ...]
"""Of one sample, without the batch axis: (features,), (C, L) or (C, H, W)."""
Thinning: TypeAlias = torch.Generator | Mapping[str, Tensor] | None
"""What drops units: a generator that draws the masks, or the masks by the `Dropout` layers' names; None for nothing."""


class Module(nn.Module):
    """Base of all layers and networks: `torch.nn.Module`, but for what it refuses.

    torch copies what fits before it complains, and converts precision in silence. Here a state dict with any missing,
    unexpected, misshapen or mistyped entry is refused before anything has been loaded, with all of them listed.
    """

    def dropouts(self) -> tuple[str, ...]:
        """Names of the `Dropout` layers in here, joined as parameters' are; a `Dropout` calls itself ""."""
        return ()

    @property
    def num_parameters(self) -> int:
        """How many numbers there are to train; an absent link has none."""
        return sum(tensor.numel() for tensor in self.parameters())

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

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy `state_dict` into the parameters, all of it or nothing.

        Raises
        ------
        TypeError
            If `state_dict` is no mapping.
        ValueError
            Listing every missing, unexpected, misshapen or mistyped entry; nothing has been loaded then.
        """
        check_mapping("state", state_dict)
        if faults := state_faults(state_dict, self.state_dict(), strict=strict):
            raise ValueError(f"state does not fit {type(self).__name__}: " + "; ".join(faults))
        return super().load_state_dict(state_dict, strict, assign)


class Sequential(Module, nn.Sequential):
    """Named layers, one after the other: y = f_L(… f_2(f_1(x))).

    Parameters
    ----------
    layers:
        Modules by name, in the order of computation.

    Raises
    ------
    ValueError
        If there is no layer, a name is empty or has a dot, or a layer with parameters stands twice.
    TypeError
        If an entry is not an `nn.Module`.

    Source: 多层感知机 / BP 基本思想 / 变量关系, z^l = g_l(z^(l-1), W^l).
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        if not layers:
            raise ValueError("layers is empty, expected at least one layer")
        for name, layer in layers.items():
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"layers has the name {name!r}, expected a non-empty name without a dot")
            if not isinstance(layer, nn.Module):
                raise TypeError(f"layers[{name!r}] is a {type(layer).__name__}, expected an nn.Module")
        tensors = [id(tensor) for layer in layers.values() for tensor in layer.parameters()]
        if len(set(tensors)) < len(tensors):
            raise ValueError("layers has one layer with parameters under two names, expected each to stand once")
        super().__init__(OrderedDict(layers))

    def forward(self, x: Tensor, dropout: Thinning = None) -> Tensor:
        """Apply the layers in order.

        Parameters
        ----------
        x:
            Input of the first layer.
        dropout:
            A generator turns the `Dropout` layers on, as in training; masks by their names drop exactly those units;
            None leaves them off.

        Raises
        ------
        TypeError, ValueError
            If `dropout` is something else, or its names are not those of `dropouts()`.
        """
        for layer, source in zip(self, self._sources(dropout), strict=True):
            x = layer(x, *source)
        return x

    def trace(self, x: Tensor, dropout: Thinning = None) -> dict[str, Tensor]:
        """The output of every layer by its name: the function signals a^1 … a^L on their way through the network."""
        outputs = {}
        # Not named_children(): it leaves out an activation object that stands in several places.
        for name, layer, source in zip(self._modules, self, self._sources(dropout), strict=True):
            x = layer(x, *source)
            outputs[name] = x
        return outputs

    def dropouts(self) -> tuple[str, ...]:
        """Names of the `Dropout` layers, joined with a dot where they stand in a network within this one."""
        return tuple(
            f"{name}.{inner}" if inner else name
            for name, layer in zip(self._modules, self, strict=True)
            if isinstance(layer, Module)
            for inner in layer.dropouts()
        )

    @property
    def num_parameters(self) -> int:
        """The sum over the layers."""
        return sum(layer.num_parameters for layer in self._own_layers().values())

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """The shape of every layer's output for one sample, by the layer's name; a refusal names the layer."""
        shapes = {}
        for name, layer in self._own_layers().items():
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
        return sum(layer.num_connections(s) for layer, s in zip(self._own_layers().values(), inputs, strict=False))

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """The sum over the layers."""
        inputs = [input_shape, *self.shapes(input_shape).values()]
        return sum(layer.num_multiply_adds(s) for layer, s in zip(self._own_layers().values(), inputs, strict=False))

    def _own_layers(self) -> dict[str, Module]:
        """The layers by name, which must be this package's own: only they know their shapes and counts."""
        layers: dict[str, Module] = {}
        for name, layer in zip(self._modules, self, strict=True):
            if not isinstance(layer, Module):
                raise TypeError(f"{name} is a {type(layer).__name__}, expected a Module of torchref to count on")
            layers[name] = layer
        return layers

    def _sources(self, dropout: Any) -> list[tuple[Any, ...]]:
        """What each layer's forward gets beside its input: nothing, but for those that drop units."""
        if isinstance(dropout, Mapping) and set(dropout) != set(self.dropouts()):
            raise ValueError(f"dropout has masks for {sorted(map(str, dropout))}, expected {sorted(self.dropouts())}")
        if not isinstance(dropout, torch.Generator | Mapping | None):
            expected = "a torch.Generator, masks by the layers' names or None"
            raise TypeError(f"dropout is a {type(dropout).__name__}, expected {expected}")
        sources: list[tuple[Any, ...]] = []
        for name, layer in zip(self._modules, self, strict=True):
            names = layer.dropouts() if isinstance(layer, Module) else ()
            if dropout is None or not names:
                sources.append(())
            elif not isinstance(dropout, Mapping):
                sources.append((dropout,))
            elif names == ("",):
                sources.append((dropout[name],))
            else:
                sources.append(({inner: dropout[f"{name}.{inner}"] for inner in names},))
        return sources
