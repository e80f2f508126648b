"""Torch's modules, with a state dict that is loaded whole or not at all."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from torchref.validation import check_mapping, state_faults


class Module(nn.Module):
    """Base of all layers and networks: `torch.nn.Module`, but for what it refuses.

    torch copies what fits before it complains, and converts precision in silence. Here a state dict with any missing,
    unexpected, misshapen or mistyped entry is refused before anything has been loaded, with all of them listed.
    """

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

    def trace(self, x: Tensor) -> dict[str, Tensor]:
        """The output of every layer by its name: the function signals a^1 … a^L on their way through the network."""
        outputs = {}
        # Not named_children(): it leaves out an activation object that stands in several places.
        for name, layer in zip(self._modules, self, strict=True):
            x = layer(x)
            outputs[name] = x
        return outputs
