"""When a tensor is wrong: what the runs in which it is wrong have in common, and the others have not."""

import re
from collections.abc import Mapping, Sequence

from torchref.oracle.comparison import Comparison
from torchref.oracle.kinds.kind import Kind, Trial

ASIDE = re.compile(r"(?<! than) \(.*|, so that.*")
"""What explains the name of a feature, rather than names it: "a stride other than 1 (pooling: …)"."""


def when(wrong: Sequence[Trial], judged: Sequence[Trial], features: Mapping[str, str]) -> str:
    """The circumstances that tell wrong runs from right ones: "only in float32", "only with a border of zeros", or "".

    A feature of the cases is named if all that are wrong have it, some have it not, and most that have it are wrong.
    """
    parts = []
    dtypes = {t.dtype for t in wrong}
    if dtypes != {t.dtype for t in judged}:
        parts.append(f"in {' and '.join(sorted(dtypes))}")
    varieties = {t.variety: None for t in wrong}
    if "normal" not in varieties and "normal" in {t.variety for t in judged}:
        parts.append(f"on {' and '.join(varieties)}")
    guilty = {t.case.slug for t in wrong}
    needs = {t.case.slug: t.case.needs for t in judged}
    fits = {}
    for feature in set.intersection(*(set(needs[slug]) for slug in guilty)) if guilty else ():
        having = {slug for slug in needs if feature in needs[slug]}
        if len(having) < len(needs) and 2 * len(guilty) > len(having):
            fits[feature] = len(having)
    if fits:
        best = min(sorted(fits), key=lambda feature: fits[feature])
        said = features.get(best, best)
        parts.append(f"with {ASIDE.sub('', said)}")
    return f"only {' and '.join(parts)}" if parts else ""


def allowance(kind: Kind, wrong: Sequence[tuple[Trial, Comparison]], judged: Sequence[Trial]) -> tuple[str, ...]:
    """How to say that code is to be without what it refuses by an exception, where all of that is one feature."""
    if len(wrong) == len(judged) or not all(comparison.fault.startswith("raises") for _, comparison in wrong):
        return ()
    asked = [trial.case.needs | kind.needs(trial.variety) for trial, _ in wrong]
    shared = frozenset.intersection(*asked) & kind.features.keys()
    if len(shared) != 1:
        return ()
    (feature,) = shared
    said = ASIDE.sub("", kind.features[feature])
    return (f"if yours is to do without ({said}), declare unsupported={feature!r}",)
