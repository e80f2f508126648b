"""JAX: the whole step, from the images to the new parameters, compiled by XLA as one program.

A convolution is either XLA's own or a product with the unfolded images, and then a large batch may be taken in
sub-batches that stay in the processor's cache. Which is fastest differs from cell to cell, so each is tried before the
clock starts, and the fastest counts. Maps are (C, H, W, N): with the batch first nothing was faster.
"""

import functools
import os
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.bench import networks
from experiments.bench.cells import Cell
from experiments.bench.competitors import Array
from scratch.models import s2_c3_table

Parameters: TypeAlias = dict[str, jax.Array]
Convolution: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]

SUB_BATCH: Final = 64
"""Images taken at once where a larger batch is not taken whole."""
TRIAL: Final = 0.1
"""Seconds for which each form is tried."""


def by_xla(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Convolve maps (C, H, W, N) with a weight (O, C, kh, kw): XLA's own operation."""
    return lax.conv_general_dilated(x, weight, (1, 1), "VALID", dimension_numbers=("CHWN", "OIHW", "CHWN"))


def by_unfolding(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Convolve maps (C, H, W, N) with a weight (O, C, kh, kw): one matrix product with every window side by side."""
    _, height, width, samples = x.shape
    kh, kw = weight.shape[2:]
    rows, cols = height - kh + 1, width - kw + 1
    columns = jnp.stack([x[:, i : i + rows, j : j + cols] for i, j in np.ndindex(kh, kw)], axis=1)
    y = weight.reshape(len(weight), -1) @ columns.reshape(weight[0].size, -1)
    return y.reshape(-1, rows, cols, samples)


class Form(NamedTuple):
    """How the network is computed: its convolution, and how many images are taken at once."""

    convolution: Convolution
    images: int


def forms(cell: Cell) -> list[Form]:
    """Return what is worth a trial; XLA's convolution in sub-batches never was."""
    whole = Form(by_unfolding, cell.batch)
    if cell.model == "mlp":
        return [whole]
    divisible = cell.batch > SUB_BATCH and cell.batch % SUB_BATCH == 0
    return [whole, *[Form(by_unfolding, SUB_BATCH)] * divisible, Form(by_xla, cell.batch)]


def per_map(values: jax.Array) -> jax.Array:
    """One number for each map of (C, H, W, N)."""
    return values[:, None, None, None]


def squash(x: jax.Array) -> jax.Array:
    """1.7159·tanh(2x/3)."""
    return 1.7159 * jnp.tanh(x * (2 / 3))


def subsample(x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
    """Sum windows of 2×2, times a coefficient, plus a bias, in maps (C, H, W, N)."""
    sums = lax.reduce_window(x, np.zeros((), x.dtype), lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return sums * per_map(weight) + per_map(bias)


def linear(params: Parameters, layer: str, x: jax.Array) -> jax.Array:
    """X Wᵀ + b for x (N, in); a convolution by filters as large as its maps is this too."""
    weight = params[f"{layer}.weight"]
    return x @ weight.reshape(len(weight), -1).T + params[f"{layer}.bias"]


def forward(cell: Cell, convolve: Convolution, params: Parameters, x: jax.Array) -> jax.Array:
    """Compute the logits (N, 10) of a cell's network."""
    if cell.model == "mlp":
        for layer in ("fc1", "fc2"):
            x = jnp.tanh(linear(params, layer, x))
        return linear(params, "fc3", x)

    background, border = (-0.1, 2) if cell.model == "lenet5" else (0.0, 2)
    around = ((0, 0), (border, border), (border, border), (0, 0))
    x = jnp.pad(x.transpose(1, 2, 3, 0), around, constant_values=background)
    for convolution, pooling in (("c1", "s2"), ("c3", "s4")):
        weight = params[f"{convolution}.weight"]
        if cell.model == "lenet5" and convolution == "c3":
            weight = weight * s2_c3_table()[:, :, None, None]
        x = squash(convolve(x, weight) + per_map(params[f"{convolution}.bias"]))
        x = squash(subsample(x, params[f"{pooling}.weight"], params[f"{pooling}.bias"]))
    x = x.transpose(3, 0, 1, 2).reshape(x.shape[3], -1)
    if cell.model == "lenet5":
        for layer in ("c5", "f6"):
            x = squash(linear(params, layer, x))
    return linear(params, "output", x)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over the batch of −log softmax at the label."""
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)


def compiled(cell: Cell, form: Form) -> Callable[..., Any]:
    """Return a program for the cell.

    Parameters
    ----------
    cell:
        What is computed.
    form:
        How; the images taken at once divide the batch.

    Returns
    -------
    callable
        In training (parameters, images, labels) -> (parameters, loss), which takes the parameters' memory for the new
        ones; in inference (parameters, images, labels) -> logits.
    """
    network = functools.partial(forward, cell, form.convolution)
    parts = cell.batch // form.images

    def split(array: jax.Array) -> jax.Array:
        return array.reshape(parts, form.images, *array.shape[1:])

    def infer(params: Parameters, images: jax.Array, _: jax.Array) -> jax.Array:
        if parts == 1:
            return network(params, images)
        return lax.map(functools.partial(network, params), split(images)).reshape(cell.batch, -1)

    def loss_of(params: Parameters, images: jax.Array, labels: jax.Array) -> jax.Array:
        return cross_entropy(network(params, images), labels)

    gradients = jax.value_and_grad(loss_of)

    def train(params: Parameters, images: jax.Array, labels: jax.Array) -> tuple[Parameters, jax.Array]:
        if parts == 1:
            loss, grads = gradients(params, images, labels)
        else:

            def add(sums: Any, part: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
                return jax.tree.map(jnp.add, sums, gradients(params, *part)), None

            nothing = (jnp.zeros((), cell.dtype), jax.tree.map(jnp.zeros_like, params))
            sums, _ = lax.scan(add, nothing, (split(images), split(labels)))
            loss, grads = jax.tree.map(lambda total: total / parts, sums)
        return {name: params[name] - networks.LEARNING_RATE * grads[name] for name in params}, loss

    program: Callable[..., Any] = jax.jit(train, donate_argnums=0) if cell.mode == "train" else jax.jit(infer)
    return program


def limit_threads(threads: int) -> None:
    """Let XLA's pool have so many threads; it reads this once per process, when the first array is made.

    Raises
    ------
    RuntimeError
        If it has been limited to another number before.
    """
    if os.environ.setdefault("PJRT_NPROC", str(threads)) != str(threads):
        raise RuntimeError(f"jax has {os.environ['PJRT_NPROC']} threads in this process, asked for {threads}")


class Steps:
    """See `competitors.Steps`. Images and labels are on the device before the clock starts."""

    def __init__(self, cell: Cell, threads: int) -> None:
        limit_threads(threads)
        jax.config.update("jax_enable_x64", cell.dtype == "float64")
        self.cell = cell
        self.threads = threads
        images, labels = networks.batch(cell)
        self.data = jnp.asarray(images), jnp.asarray(labels.astype(np.int32))
        trials = [(self._tried(form), form) for form in forms(cell)]
        self.form = min(trials, key=lambda trial: trial[0])[1]
        self._start(self.form)

    def _start(self, form: Form) -> None:
        """Go back to the initial weights, with a program of this form."""
        self.params = {name: jnp.array(value) for name, value in networks.initial_state(self.cell).items()}
        self._program = compiled(self.cell, form)
        self._result = jnp.asarray(np.nan)

    def _tried(self, form: Form) -> float:
        """Return the seconds of the fastest of several steps, after the one that compiles."""
        self._start(form)
        self.step()
        seconds: list[float] = []
        begun = time.perf_counter()
        while not seconds or time.perf_counter() - begun < TRIAL:
            before = time.perf_counter()
            self.step()
            seconds.append(time.perf_counter() - before)
        return min(seconds)

    def step(self) -> None:
        """See `competitors.Steps`."""
        result = self._program(self.params, *self.data)
        if self.cell.mode == "train":
            self.params, self._result = result
        else:
            self._result = result
        jax.block_until_ready(result)

    def outcome(self) -> dict[str, Array]:
        """See `competitors.Steps`."""
        result = np.array(self._result)
        if self.cell.mode == "infer":
            return {"output": result}
        return {"loss": result, **{name: np.array(value) for name, value in self.params.items()}}

    def describe(self) -> dict[str, str | int]:
        """See `competitors.Steps`."""
        note = {"jax": jax.__version__, "threads": self.threads, "mode": "jit"}
        if self.cell.model != "mlp":
            note |= {"convolution": self.form.convolution.__name__, "images at once": self.form.images}
        return note

    def close(self) -> None:
        """See `competitors.Steps`."""
