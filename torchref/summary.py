"""What a network consists of, layer by layer: shapes, parameters, connections, multiply-adds."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from torchref.module import Module, Sequential, Shape
from torchref.validation import check_sample_shape


class LayerSummary(NamedTuple):
    """One layer: its joined name, its class, the shape of its output for one sample, and its counts."""

    name: str
    kind: str
    output_shape: Shape
    parameters: int
    connections: int
    multiply_adds: int


class Summary(NamedTuple):
    """A network's layers in the order of computation; `str` makes a table of them, with totals."""

    input_shape: Shape
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """Trainable numbers in all layers; a weight that many units share counts once."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def connections(self) -> int:
        """Links into all units of all layers, the one from the bias included; a shared weight counts at each unit."""
        return sum(layer.connections for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Products that one sample's forward pass adds up in all layers."""
        return sum(layer.multiply_adds for layer in self.layers)

    def __str__(self) -> str:
        """The table: names to the left, numbers to the right."""
        rows: list[tuple[str, ...]] = [("layer", "kind", "output", "parameters", "connections", "multiply-adds")]
        rows += [("input", "", _by_size(self.input_shape), "", "", "")]
        for name, kind, shape, *counts in self.layers:
            rows += [(name, kind, _by_size(shape), *(f"{count:,}" for count in counts))]
        totals = (self.parameters, self.connections, self.multiply_adds)
        rows += [("total", "", "", *(f"{total:,}" for total in totals))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [f"{text:{'<' if i < 2 else '>'}{widths[i]}}" for i, text in enumerate(row)]
            lines.append("  ".join(cells).rstrip())
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summarize(net: Module, input_shape: Sequence[int]) -> Summary:
    """Ask every layer of a network, nested ones too, for its shape and its counts.

    Nothing is computed: no sample is needed, and none goes through.

    Parameters
    ----------
    net:
        A `Sequential` or a single layer, which is then listed without a name.
    input_shape:
        Shape of one sample, without the batch axis, such as (1, 28, 28).

    Raises
    ------
    TypeError
        If `net` or a layer of it is no `Module`, but torch's own, or `input_shape` not made of ints.
    ValueError
        If a shape does not fit, with the name of the layer and what it expected.

    Source: 卷积层的输出尺度, 卷积层的参数个数; connections as the 1998 paper counts them, section II.B.
    """
    if not isinstance(net, Module):
        raise TypeError(f"net is a {type(net).__name__}, expected a Module")
    shape = first = check_sample_shape(input_shape)
    rows = []
    for name, layer in _layers(net):
        kind = type(layer).__name__
        if not isinstance(layer, Module):
            raise TypeError(f"{name} is a {kind} of torch's own, expected a Module of torchref: it counts nothing")
        try:
            output_shape = tuple(layer.output_shape(shape))
        except ValueError as error:
            raise ValueError(f"{name or kind}: {error}") from error
        counts = layer.num_parameters, layer.num_connections(shape), layer.num_multiply_adds(shape)
        rows.append(LayerSummary(name, kind, output_shape, *counts))
        shape = output_shape
    net.output_shape(first)  # a network may refuse what each of its layers would take
    return Summary(first, tuple(rows))


def _layers(net: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every layer that is not itself a `Sequential`, with its joined name, such as "block.fc1"."""
    if not isinstance(net, Sequential):
        yield name, net
        return
    # Not named_children(): it leaves out an activation object that stands in several places.
    for own, layer in zip(net._modules, net, strict=True):
        yield from _layers(layer, f"{name}.{own}" if name else own)


def _by_size(shape: Shape) -> str:
    return "×".join(map(str, shape))
