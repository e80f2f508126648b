"""`check`: anybody's layer, activation, loss or optimiser against the catalogue of its kind."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from torchref.oracle.judging import Options, judge_subject
from torchref.oracle.kinds import DTYPES, Kind, find
from torchref.oracle.kinds.layer_kind import LayerKind
from torchref.oracle.kinds.networks import find_network
from torchref.oracle.networks.checking import check_network_kind
from torchref.oracle.subjects.calls import Call
from torchref.oracle.subjects.choosing import choose
from torchref.oracle.subjects.declared import Declared, layouts
from torchref.oracle.subjects.guard import TIME_LIMIT, blame
from torchref.oracle.subjects.names import SYNONYMS
from torchref.oracle.verdict import Verdict


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Leave the global generators as they were: constructors draw initial values from them."""
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002 (others use it)
    try:
        yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)


@_random_state_kept()
def check(
    forward: Any,
    backward: Any = None,
    *,
    like: Any,
    layout: str | None = None,
    weight: str | None = None,
    bias: str | None = None,
    arguments: Mapping[str, str] | None = None,
    unsupported: str | Iterable[str] = (),
    dtypes: str | Iterable[str] = DTYPES,
    cases: str | Iterable[str] = (),
    seed: int = 0,
    time_limit: float = TIME_LIMIT,
    shape: tuple[int, ...] | None = None,
    strict: bool = False,
    title: str = "",
    save_to: str | Path | None = None,
    command: Callable[[str], str] | None = None,
) -> Verdict:
    """Hold somebody's code against the oracle on the whole catalogue of its kind.

    Parameters
    ----------
    forward, backward:
        A pair of functions, or one function; a class, a factory or an object; an `Adapter`; or where to find them:
        "homework.py:conv_forward,conv_backward", "package.module:Conv".
    like:
        What it should be: "conv2d", …, or a `torch.nn.Module` or a callable of tensors.
    layout:
        Of activations, where it is not torch's: "NHWC", "NLC", "CN".
    weight, bias:
        The same of parameters: "IO" for x @ W, "HWIO"; "1O" for a bias of shape (1, O).
    arguments:
        What arguments are, where their names do not say: {"theirs": "ours"}, {"t": "onehot"}.
    unsupported:
        Features that it is to be without: "stride padding". What needs them is skipped.
    dtypes:
        "float64", "float32", or both.
    cases:
        Slugs of those to be run; empty for all.
    seed:
        Of all draws.
    time_limit:
        Seconds for each call.
    shape:
        Of x, where `like` is a module or callable.
    strict:
        Whether NaN, infinity and the sign of zero count; else what differs there is a remark.
    title:
        What the report calls it.
    save_to:
        Folder for the arrays of what failed.
    command:
        Turns a case's slug into what reproduces it.

    Raises
    ------
    TypeError, ValueError
        If what is asked for makes no sense. Whatever the code under test does is in the verdict.
    """
    said = {
        "layout": layout,
        "weight": weight,
        "bias": bias,
        "arguments": dict(arguments) if arguments else None,
        "unsupported": " ".join(_words("unsupported", unsupported)) or None,
        "shape": shape,
        "strict": True if strict else None,
    }
    if not isinstance(time_limit, int | float) or not time_limit > 0:
        raise ValueError(f"time_limit is {time_limit!r}, expected a number of seconds above 0")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed is {seed!r}, expected a whole number from 0")
    if not isinstance(like, str) and not callable(like):
        raise TypeError(f"like is {like!r}, expected a name, a torch.nn.Module or a callable")
    if shape is not None and isinstance(like, str):
        raise ValueError(f"shape is {shape}, but {like} has a catalogue of its own; it is for modules and callables")
    if isinstance(like, str) and (network := find_network(like)) is not None:
        unused = [name for name in ("layout", "bias", "arguments", "unsupported", "strict") if said[name] is not None]
        unused += ["backward"] * (backward is not None)
        if unused:
            raise ValueError(f"{', '.join(unused)}: like={like!r} is a whole network, to which this does not apply")
        own = forward if isinstance(forward, str) else str(getattr(forward, "__name__", ""))
        named = title or (own if own.isidentifier() or own is forward else "your_network")
        return check_network_kind(
            forward,
            network,
            weight=weight,
            dtypes=_words("dtypes", dtypes),
            cases=_words("cases", cases),
            seed=seed,
            time_limit=time_limit,
            title=title,
            save_to=save_to,
            command=command or _snippet(named, like, said, seed),
        )
    kind = find(like, shape)
    without = set(_words("unsupported", unsupported))
    if "bias" in without and "bias-free" in kind.features:  # then all of it is asked without one
        kind, without = _unbiased(kind), without - {"bias"}
    _check_roles(kind, arguments or {})
    declared = Declared(layouts(kind, layout, weight, bias), dict(arguments or {}), time_limit)
    try:
        subject = choose(forward, backward, kind, declared, title)
        reasons = skips(subject, kind)
    except (Exception, SystemExit) as error:
        trouble = None if isinstance(error, ValueError | TypeError) else blame("looking at it", error)
        if trouble is None:
            raise
        raise TypeError(f"{title or type(forward).__name__}: {trouble}") from error
    names = {name for part in vars(subject).values() if isinstance(part, Call) for name in part.roles}
    for name in arguments or {}:
        if name not in names:
            raise ValueError(f"arguments: no argument is called {name!r}, they are {', '.join(sorted(names))}")
    chosen = _words("cases", cases) or tuple(case.slug for case in kind.cases)
    if all(slug in reasons for slug in chosen):
        raise ValueError(
            f"{subject.title}: no case can be asked of it ({reasons[chosen[0]]}); "
            "pass the class rather than an object, or a torch module with the same configuration as like="
        )
    options = Options(
        seed=seed,
        dtypes=_words("dtypes", dtypes),
        unsupported=frozenset(without) | subject.forgoes,
        cases=_words("cases", cases),
        command=command or _snippet(subject.title, like, said, seed),
        save_to=None if save_to is None else Path(save_to),
        skips=reasons,
        strict=bool(strict),
    )
    return judge_subject(subject, kind, options)


def skips(subject: Any, kind: Kind) -> dict[str, str]:
    """The cases that are not asked of a subject, by what its signature or its configuration shows, with the reason."""
    reasons = {}
    for case in kind.cases:
        lacking = [reason for feature, reason in subject.lacks.items() if feature in case.needs]
        if reason := "; ".join(lacking) or subject.unfit(case):
            reasons[case.slug] = reason
    return reasons


def _check_roles(kind: Kind, arguments: Mapping[str, str]) -> None:
    """Refuse what is nothing that an argument could be."""
    settings = [name for case in kind.cases for name in case.config]
    known = {**dict.fromkeys([*kind.parameters, *kind.settings, *settings]), **SYNONYMS}
    for name, role in arguments.items():
        if role not in known:
            raise ValueError(f"arguments: {name} is {role!r}, expected one of {', '.join(known)}")


def _unbiased(kind: Kind) -> Kind:
    """The same kind with every case without a bias."""
    assert isinstance(kind, LayerKind)
    cases = tuple(replace(case, config={**case.config, "bias": False}) for case in kind.cases)
    return replace(kind, cases=cases, parameters=tuple(name for name in kind.parameters if name != "bias"))


def _snippet(title: str, like: Any, said: Mapping[str, Any], seed: int) -> Callable[[str], str]:
    """What runs one case again, in Python; what has no name is … there, and it is said what that stands for."""
    name = repr(like) if isinstance(like, str) else getattr(like, "__name__", "<module>")
    code = repr(title) if ":" in title else title
    unnamed = ["your code"] * ("<" in code) + ["what it is held against"] * ("<" in name)
    code, name = ("…" if "<" in text else text for text in (code, name))
    options = "".join(f", {option}={value!r}" for option, value in said.items() if value is not None)
    fill = f"  # … is {', then '.join(unnamed)}" if unnamed else ""

    def command(slug: str) -> str:
        call = f'oracle.check({code}, like={name}{options}, cases="{slug}", seed={seed})'.replace("'", '"')
        return call + fill

    return command


def _words(option: str, given: Any) -> tuple[str, ...]:
    """A list of names that may also come as one text."""
    words = given.replace(",", " ").split() if isinstance(given, str) else list(given)
    if not all(isinstance(word, str) for word in words):
        raise TypeError(f"{option} is {given!r}, expected text, or a list of texts")
    return tuple(words)
