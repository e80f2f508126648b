"""Any `torch.nn.Module` or callable of tensors as a kind: by the analytic criteria if they know it, else measured."""

import copy
import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison
from torchref.oracle.inputs import LAYOUTS
from torchref.oracle.kinds.activations import ACTIVATIONS
from torchref.oracle.kinds.kind import Case, Draw, Kind, Trial
from torchref.oracle.kinds.layer_kind import SPECIAL_VALUES, LayerKind
from torchref.oracle.kinds.layers import COMMON, LAYERS
from torchref.oracle.kinds.module_loss import away_from_kinks, is_loss, loss_kind_of
from torchref.oracle.kinds.understood import agrees, understood
from torchref.oracle.measured import ATTEMPTS, KINKED, Function, differentiate, judge, measure
from torchref.oracle.subjects.subject import Incident, Subject
from torchref.oracle.truth import ELEMENTWISE

LETTERS = {2: "NC", 3: "NCL", 4: "NCHW"}
"""Of the axes of x, by their number."""
SLOW_TRUTH = 5_000
"""Elements above which an activation is measured: 120 bits for each of them would take seconds."""


@dataclass(frozen=True)
class ModuleKind(LayerKind):
    """A module that no analytic criterion knows; `twin` gives copies of it.

    Its parameters are drawn anew for each trial, as large as they were; its buffers stay.
    """

    differentiable: bool = True
    """Whether there are gradients to be judged."""
    batched: bool = True
    """Whether it takes batches of any size."""
    kept: tuple[str, ...] = ()
    """Names of buffers that a pass changes, as a batch normalisation's running mean: nothing is said of them."""

    def columns(self, subject: Subject) -> tuple[str, ...]:
        """The output, and where there is a backward part "dx" and each parameter's gradient."""
        return super().columns(subject) if self.differentiable else ("y",)

    def varieties(self, case: Case) -> tuple[str, ...]:
        """Normal; for thorough cases odd memory layouts and special values, but no NaN: what comes of it is unsaid."""
        return ("normal", *LAYOUTS, SPECIAL_VALUES) if case.thorough else ("normal",)

    def build(self, case: Case, dtype: str) -> nn.Module:  # noqa: ARG002
        """A copy of the module in that precision."""
        twin: nn.Module = self.twin(dtype=getattr(torch, dtype))
        return twin

    def run(self, subject: Subject, case: Case, dtype: str, variety: str, seed: int) -> Trial:
        """Run a candidate once beside the oracle, away from kinks if that can be had."""
        return away_from_kinks(functools.partial(super().run, subject, case, dtype, variety), seed)

    def draw(
        self, subject: Subject, case: Case, dtype: str, variety: str, seed: int
    ) -> tuple[nn.Module, dict[str, Array]]:
        """The module with its parameters, and what a candidate is given."""
        draw = Draw(seed, (self.name, case.slug, dtype, variety))
        reference = self.build(case, dtype)
        parameters = {name: _redrawn(draw, p, dtype) for name, p in reference.named_parameters()}
        with torch.no_grad():
            for name, parameter in reference.named_parameters():
                parameter.copy_(to_tensor(parameters[name]))
        x = self._input(draw, draw.normal, case, dtype, variety)
        y = self._output(reference, to_tensor(x))
        dy = self._upstream(draw.normal, tuple(y.shape), dtype, variety)
        return reference, {"x": subject.arrange("x", x), "dy": subject.arrange("dy", dy), **parameters}

    def _output(self, reference: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():  # on a copy: some modules change their buffers in each pass
            y: Tensor = copy.deepcopy(reference)(x)
        return y

    def differentiate(self, reference: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
        """The oracle's "y", "dx" and "grad <name>"; "y" alone where there is nothing to differentiate."""
        if not self.differentiable:
            return {"y": self._output(reference, x)}
        return differentiate(reference, [x], dy).named()

    def judge(
        self,
        reference: nn.Module,
        given: Mapping[str, Array],
        mine: Mapping[str, Any],
        oracle: Mapping[str, Tensor],
        case: Case,  # noqa: ARG002
        variety: str,
    ) -> tuple[list[Comparison], list[Incident]]:
        """Criterion 9; nothing but a remark where a kink was too near in every draw."""
        sizes = measure(reference, [to_tensor(given["x"])], to_tensor(given["dy"]), seed=0, precision=oracle["y"].dtype)
        if sizes.kinked:
            return [], [Incident(KINKED, f"on {variety} inputs", harmless=True)]
        bounds = sizes.named()
        remarks = [Incident("not judged", f"{', '.join(self.kept)}:", harmless=True)] if self.kept else []
        verdicts = [judge(name, mine[name], tensor, bounds[name]) for name, tensor in oracle.items() if name in mine]
        return verdicts, remarks

    def conduct(self, subject: Subject, candidate: Any, x: Array, dy: Array) -> list[Comparison]:
        """How a candidate behaves around its answers; on this shape alone if the module takes no other batch."""
        return super().conduct(subject, candidate if self.batched else _OfOneShape(candidate, x.shape), x, dy)


class _OfOneShape:
    """A candidate whose larger inputs are cut down to one shape."""

    def __init__(self, candidate: Any, shape: tuple[int, ...]) -> None:
        self.candidate = candidate
        self.place = tuple(slice(size) for size in shape)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.candidate, name)

    def forward(self, x: Array) -> Any:
        """Of the first entries."""
        return self.candidate.forward(x[self.place])


def _redrawn(draw: Draw, parameter: Tensor, dtype: str) -> Array:
    """Normal numbers as large as the parameter's; of size 1 if all of it are equal, as a normalisation's are."""
    values = parameter.detach().double()
    scale = float(values.square().mean().sqrt()) if values.numel() > 1 and values.std() > 0 else 1.0
    return (draw.normal(tuple(parameter.shape), "float64") * scale).astype(dtype)


def kind_of(like: Callable[..., Any], shape: tuple[int, ...] | None) -> Kind:
    """The kind that a module or callable is, run on inputs of `shape`: a loss, or a layer of one input.

    Raises
    ------
    TypeError
        If it is a class.
    ValueError
        If there is no shape, or it fails on it, draws random numbers, or gives anything but one tensor of x's dtype.
    """
    if isinstance(like, type) and issubclass(like, nn.Module):
        raise TypeError(f"like is the class {like.__name__}, expected an instance of it, such as {like.__name__}()")
    if shape is None:
        raise ValueError("shape is None, expected the shape of x, such as (4, 3, 8, 8), where like is a module")
    title = getattr(like, "__name__", None) or str(like).splitlines()[0].rstrip("(")
    if is_loss(like):
        return loss_kind_of(like, shape, title)
    module = like if isinstance(like, nn.Module) else Function(like)
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in module.parameters()):
        raise ValueError(f"{title} has parameters without a shape, expected it to have been run once")
    y = probe(module, shape, title)
    known = understood(module)
    x = _normal(shape, torch.float64)
    slow = isinstance(known, nn.Sequential) or (isinstance(known, ELEMENTWISE) and x.numel() > SLOW_TRUTH)
    if known is not None and not slow and agrees(_copy(module), _copy(known), x):
        return _analytic(known, title, shape)
    return _measured(module, title, shape, y)


def probe(module: nn.Module, shape: tuple[int, ...], title: str) -> Tensor:
    """The module's output in float64; refuses what cannot be judged."""
    for dtype in (torch.float32, torch.float64):
        x, again = (_normal(shape, dtype).requires_grad_() for _ in range(2))
        with torch.random.fork_rng(devices=[]):
            try:
                torch.manual_seed(1)
                y = _copy(module, dtype)(x)
                torch.manual_seed(2)
                other = _copy(module, dtype)(again)
            except Exception as error:
                raise ValueError(f"like fails on x of shape {shape}: {type(error).__name__}: {error}") from error
        if not isinstance(y, Tensor) or y.dtype != dtype:
            came = f"a tensor of {y.dtype}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
            raise ValueError(f"like gives {came} for x of {dtype}, expected one tensor of the same dtype")
        if not torch.equal(y.detach().nan_to_num(), other.detach().nan_to_num()):
            raise ValueError(f"{title} draws random numbers, expected the same for the same x: try .eval()")
    assert isinstance(y, Tensor)
    return y


def _copy(module: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    return copy.deepcopy(module).cpu().to(dtype)


def _normal(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _fresh(module: nn.Module, *, dtype: torch.dtype = torch.float32) -> nn.Module:
    return _copy(module, dtype)


def _cases(shape: tuple[int, ...], config: Mapping[str, Any], module: nn.Module, *, empty: bool) -> tuple[Case, ...]:
    """The shape asked for, then a batch of one and of none where the module takes them."""
    shapes = {"plain": (shape, "")}
    if len(shape) > 1:
        shapes["n1"] = ((1, *shape[1:]), "single")
    if len(shape) > 1 and empty:
        shapes["n0"] = ((0, *shape[1:]), "empty")
    return tuple(
        Case(slug, "x".join(map(str, size)), config, size, frozenset(needs.split()), thorough=slug == "plain")
        for slug, (size, needs) in shapes.items()
        if slug == "plain" or (size != shape and _accepts(module, size))
    )


def _accepts(module: nn.Module, shape: tuple[int, ...], *, rows: bool = False) -> bool:
    """Whether a module takes inputs of a shape and makes finite numbers of them, one row of each."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of a variance of one number, for instance
            y = _copy(module)(_normal(shape, torch.float64))
    except (RuntimeError, ValueError, TypeError, IndexError, UserWarning):
        return False
    return bool(y.isfinite().all()) and (not rows or (y.ndim > 0 and len(y) == shape[0]))


def _analytic(known: nn.Module, title: str, shape: tuple[int, ...]) -> LayerKind:
    """torchref's own kind with the configuration of this layer, or one of its own for what torchref has not."""
    module = _copy(known)
    for kind in (*LAYERS, *ACTIVATIONS):
        config = _configuration(kind, module, shape)
        if config is not None:
            twin, cases = functools.partial(kind.twin, **config), _cases(shape, config, module, empty=True)
            return dataclasses.replace(kind, name=title, twin=twin, cases=cases, features=COMMON, masked=False)
    return LayerKind(
        name=title,
        twin=functools.partial(_fresh, module),
        cases=_cases(shape, {}, module, empty=True),
        features=COMMON,
        axes=_axes(module, shape),
        parameters=tuple(dict(module.named_parameters())),
    )


def _configuration(kind: LayerKind, module: nn.Module, shape: tuple[int, ...]) -> dict[str, Any] | None:
    """The arguments with which a kind's class computes the same as this layer; None if there are none."""
    if type(module).__name__ != kind.twin.__name__:  # nn.Linear is as good as torchref's here
        return None
    given = {name: getattr(module, name, None) for name in inspect.signature(kind.twin).parameters}
    # A table of connections is a list, as in the catalogue: candidates know no tensors.
    config = {k: v.tolist() if isinstance(v, Tensor) else v for k, v in given.items() if v is not None}
    if "bias" in given:
        config["bias"] = given["bias"] is not None
    try:
        own = kind.twin(**config, **({"dtype": torch.float64} if kind.parameters else {}))
        own.load_state_dict(module.state_dict())
    except (TypeError, ValueError, RuntimeError):
        return None
    return config if agrees(module, own, _normal(shape, torch.float64)) else None


def _measured(module: nn.Module, title: str, shape: tuple[int, ...], y: Tensor) -> ModuleKind:
    upstream = _normal(tuple(y.shape), torch.float32)
    if all(
        measure(module, [_normal(shape, torch.float32, seed)], upstream, seed=seed, precision=torch.float32).kinked
        for seed in range(ATTEMPTS)
    ):
        raise ValueError(f"{title} cannot be judged on x of shape {shape}: {KINKED}")
    return ModuleKind(
        name=title,
        twin=functools.partial(_fresh, module),
        cases=_cases(shape, {}, module, empty=False),
        features={name: said for name, said in COMMON.items() if name not in ("nonfinite", "empty")},
        axes=_axes(module, shape),
        parameters=tuple(dict(module.named_parameters())),
        differentiable=y.requires_grad,
        batched=bool(shape) and _accepts(module, (shape[0] + 2, *shape[1:]), rows=True),
        kept=_changed_buffers(module, shape),
    )


def _changed_buffers(module: nn.Module, shape: tuple[int, ...]) -> tuple[str, ...]:
    after = _copy(module)
    before = {name: buffer.clone() for name, buffer in after.named_buffers()}
    after(_normal(shape, torch.float64))
    return tuple(name for name, buffer in after.named_buffers() if not torch.equal(buffer, before[name]))


def _axes(module: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """Letters of the axes of x, and of parameters by their number of axes: O out, C in, and those of the kernel."""
    letters = LETTERS.get(len(shape), "")
    return {"x": letters, "y": letters} | {name: "OCIJ"[: p.ndim] for name, p in module.named_parameters()}
