"""Measure the bound of `compare_training`: `python -m tests.measure_training`; docs/equivalence.md has the figures.

Perceptrons and optimisers by hand in NumPy beside torch's: how near the bound correct ones come, and how small a wrong
learning rate is that is found.
"""

import argparse
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn, optim

from tests import own_networks as own
from torchref import oracle

Update = Callable[[dict[str, Any], dict[str, Any]], None]
RATE = {"adam": 0.01, "adamw": 0.01, "rmsprop": 0.01}
TORCHS: dict[str, Callable[[Any, float], optim.Optimizer]] = {
    "sgd": lambda p, lr: optim.SGD(p, lr),
    "momentum": lambda p, lr: optim.SGD(p, lr, momentum=0.9),
    "decay": lambda p, lr: optim.SGD(p, lr, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p, lr: optim.SGD(p, lr, momentum=0.9, nesterov=True),
    "adam": lambda p, lr: optim.Adam(p, lr),
    "adamw": lambda p, lr: optim.AdamW(p, lr, weight_decay=0.1),
    "rmsprop": lambda p, lr: optim.RMSprop(p, lr),
}
"""By torch, from the parameters and the learning rate."""


def by_hand(name: str, lr: float) -> Update:
    """The same in NumPy."""
    kept: dict[str, Any] = {}
    steps = [0]

    def update(parameters: dict[str, Any], grads: dict[str, Any]) -> None:
        steps[0] += 1
        for key, p in parameters.items():
            g = grads[key]
            m, s = kept.get(key, (np.zeros_like(p), np.zeros_like(p)))
            if name in ("adam", "adamw"):
                if name == "adamw":
                    p -= lr * 0.1 * p
                m = 0.9 * m + (1 - 0.9) * g
                s = 0.999 * s + (1 - 0.999) * g * g
                p -= lr * (m / (1 - 0.9 ** steps[0])) / (np.sqrt(s / (1 - 0.999 ** steps[0])) + 1e-8)
            elif name == "rmsprop":
                s = 0.99 * s + 0.01 * g * g
                p -= lr * g / (np.sqrt(s) + 1e-8)
            else:
                g = g + 0.01 * p if name == "decay" else g
                m = g if name == "sgd" else 0.9 * m + g
                p -= lr * (g + 0.9 * m if name == "nesterov" else m)
            kept[key] = m, s

    return update


def course(name: str, dtype: str, seed: int, off: float = 0.0, steps: int = 6) -> Any:
    """The verdict on one training of a random perceptron, its learning rate off by a factor 1 + `off`."""
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    sizes = [int(n) for n in rng.integers(2, 40, rng.integers(2, 5))]
    lr = RATE.get(name, 0.1) * float(10 ** rng.uniform(-1, 0.5))
    torch.manual_seed(seed)
    pairs = list(itertools.pairwise(sizes))
    twin = nn.Sequential(*[part for n, m in pairs for part in (nn.Tanh(), nn.Linear(n, m))][1:])
    layers = [part for n, m in pairs for part in (own.Squash(), own.Dense(n, m, dtype))][1:]
    net, dense = own.Stack(layers), {f"{2 * i}": layers[2 * i] for i in range(len(pairs))}
    live = {f"{at}.{key}": getattr(layer, key) for at, layer in dense.items() for key in ("W", "b")}
    update = by_hand(name, lr * (1 + off))

    def step(x: Any, target: Any) -> float:
        value, dy = own.softmax_loss(net.forward(x), target)
        net.backward(dy)
        update(live, {f"{at}.{key}": getattr(layer, f"d{key}") for at, layer in dense.items() for key in ("W", "b")})
        return float(value)

    scale = 10 ** rng.uniform(-1, 0.5)
    batch = int(rng.integers(1, 65))
    batches = [
        ((scale * rng.normal(size=(batch, sizes[0]))).astype(dtype), rng.integers(0, sizes[-1], batch))
        for _ in range(3)
    ]
    names = {f"{at}.W": (f"{at}.weight", "IO") for at in dense} | {f"{at}.b": (f"{at}.bias", "1O") for at in dense}
    return oracle.compare_training(
        step, twin, lambda p: TORCHS[name](p, lr), batches, steps=steps, parameters=live, map=names, seed=seed
    )


def main() -> None:
    """Print the worst and the 99th percentile of correct trainings, and how many wrong ones are found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--wrong", type=int, default=20, help="seeds for each wrong learning rate")
    args = parser.parse_args()
    for name, dtype in itertools.product(TORCHS, ("float64", "float32")):
        verdicts = [course(name, dtype, seed) for seed in range(args.seeds)]
        cells = [
            cell.ratio
            for v in verdicts
            for row in v.rows
            if row.slug.startswith("step")
            for key, cell in row.cells.items()
            if key != "loss"
        ]
        print(
            f"{name:9}{dtype}: {sum(not v.passed for v in verdicts)} of {len(verdicts)} fail; {len(cells)} parameters,"
            f" worst {max(cells):.3g}, 99 of 100 below {np.percentile(cells, 99):.2g} of the bound;",
            "wrong rates found:",
            *(
                f"{off:g}: {sum(not course(name, dtype, seed, off).passed for seed in range(args.wrong))}"
                for off in ((1e-14, 1e-13, 1e-12, 1e-11) if dtype == "float64" else (1e-5, 1e-4, 1e-3, 1e-2))
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
