"""Mistakes in removing the mean, decorrelating and equalizing, and in merging what batches tell."""

from tests.mutants.mutant import mutant

MERGED = "np.vstack([before.factor, x - mean, correction])"
KEPT = "return self.axes[kept], np.sqrt(self.variances[kept])"
TURNED = "z = z @ axes.T / spread"
BACK = "x = x * spread @ axes"
OWN = "np.square(z).sum(axis=0) / max(len(z), 1) + 1e-300"
INPUTS = "(features * eps**2 + samples * double**2) * (axes**2 @ squares)"

MUTANTS = (
    # what is learnt
    mutant(
        "variances over N − 1",
        "moments.py",
        ("singular * singular / moments.samples", "singular * singular / max(moments.samples - 1, 1)"),
    ),
    mutant(
        "standard deviations for variances",
        "moments.py",
        ("= singular * singular / moments.samples", "= singular / math.sqrt(moments.samples)"),
    ),
    mutant("variances are sums", "moments.py", ("singular * singular / moments.samples", "singular * singular")),
    mutant("covariance about 0", "moments.py", (MERGED, "np.vstack([before.factor, x, correction])")),
    mutant(
        "squared before it is decomposed",
        "moments.py",
        (
            "    _, singular, axes = np.linalg.svd(moments.factor)\n",
            "    _, squares, axes = np.linalg.svd(moments.factor.T @ moments.factor)\n    singular = np.sqrt(squares)\n",
        ),
    ),
    mutant(
        "the inputs' precision for the statistics",
        "moments.py",
        ("    x = x.astype(np.float64, copy=False)\n    mean", "    mean"),
    ),
    mutant("axes in columns", "moments.py", ("    return variances, axes\n", "    return variances, axes.T\n")),
    mutant(
        "smallest variance first",
        "moments.py",
        ("    return variances, axes\n", "    return variances[::-1], axes[::-1]\n"),
    ),
    mutant(
        "variances first to last, axes last to first",
        "moments.py",
        ("    return variances, axes\n", "    return variances, axes[::-1]\n"),
    ),
    mutant(
        "axes with the sign they come with",
        "moments.py",
        ("    axes *= np.sign(axes[np.arange(len(axes)), largest])[:, None]\n", ""),
    ),
    mutant(
        "an axis' first entry positive",
        "moments.py",
        ("np.sign(axes[np.arange(len(axes)), largest])", "np.where(axes[:, 0] < 0, -1, 1)"),
    ),
    mutant(
        "an axis' largest entry negative",
        "moments.py",
        ("axes *= np.sign", "axes *= -np.sign"),
    ),
    # batch by batch
    mutant("merge forgets that the means differ", "moments.py", (MERGED, "np.vstack([before.factor, x - mean])")),
    mutant(
        "merge about the mean of the batches before",
        "moments.py",
        (MERGED, "np.vstack([before.factor, x - (before.mean if before.samples else mean)])"),
    ),
    mutant(
        "merge's weight without its root",
        "moments.py",
        ("math.sqrt(before.samples * len(x) / total)", "(before.samples * len(x) / total)"),
    ),
    mutant(
        "merge's weight over N twice",
        "moments.py",
        ("math.sqrt(before.samples * len(x) / total)", "math.sqrt(before.samples * len(x)) / total"),
    ),
    mutant(
        "mean of the batches' means",
        "moments.py",
        ("before.mean + delta * (len(x) / total)", "(before.mean + mean) / (2 if before.samples else 1)"),
    ),
    mutant("only the last batch", "preprocessing.py", ("return self._learn(self._moments, x)", "return self.fit(x)")),
    mutant(
        "fit forgets nothing",
        "preprocessing.py",
        ("return self._learn(no_moments(self.num_features), x)", "return self._learn(self._moments, x)"),
    ),
    mutant(
        "axes kept over a batch",
        "preprocessing.py",
        ("        self._spectrum = None\n        return self\n", "        return self\n"),
    ),
    # what is made of inputs
    mutant("mean not removed", "preprocessing.py", ("        z = x - mean\n", "        z = x - 0 * mean\n")),
    mutant(
        "the batch's own mean removed",
        "preprocessing.py",
        ("        z = x - mean\n", "        z = x - (x.mean(axis=0) if len(x) else mean)\n"),
    ),
    mutant(
        "rounded before it is turned",
        "preprocessing.py",
        ("        z = x - mean\n", "        z = (x - mean).astype(self.dtype)\n"),
    ),
    mutant(
        "turned the wrong way",
        "preprocessing.py",
        (TURNED, "z = z @ (axes if self.stage == 'decorrelated' else axes.T) / spread"),
    ),
    mutant(
        "divided by the variance",
        "preprocessing.py",
        (TURNED, "z = z @ axes.T / spread**2"),
    ),
    mutant(
        "not divided",
        "preprocessing.py",
        (TURNED, "z = z @ axes.T"),
    ),
    mutant(
        "features divided by their own deviations",
        "preprocessing.py",
        (TURNED, f"{TURNED} if self.stage == 'decorrelated' else z / np.sqrt({OWN})"),
    ),
    mutant(
        "the largest variances left out",
        "preprocessing.py",
        (KEPT, "return self.axes[kept[::-1]], np.sqrt(self.variances[kept])"),
    ),
    mutant(
        "nothing left out, 1e-8 added",
        "preprocessing.py",
        (TURNED, f"{TURNED} if self.stage == 'decorrelated' else z @ self.axes.T / np.sqrt(self.variances + 1e-8)"),
    ),
    mutant(
        "turned back when equalized (ZCA)",
        "preprocessing.py",
        (TURNED, TURNED + " @ (axes if self.stage == 'equalized' else np.eye(len(axes)))"),
    ),
    mutant(
        "a tolerance of standard deviations",
        "preprocessing.py",
        ("noise = self.tolerance * variances[:1]", "noise = self.tolerance**2 * variances[:1]"),
    ),
    mutant(
        "a tolerance not relative",
        "preprocessing.py",
        ("noise = self.tolerance * variances[:1]", "noise = np.array(self.tolerance)"),
    ),
    mutant(
        "a tolerance below the decomposition's rounding",
        "moments.py",
        (" + (max(samples, features) * double) ** 2 * variances[0]", ""),
    ),
    mutant("a tolerance below the inputs' rounding", "moments.py", ("features * eps**2", "features * double**2")),
    mutant(
        "rounding of the inputs by the largest of them",
        "moments.py",
        (INPUTS, "(features * eps) ** 2 * variances[0]"),
    ),
    mutant(
        "rounding of the inputs without their offset",
        "moments.py",
        (" + moments.mean**2", ""),
    ),
    mutant(
        "spreads without a floor",
        "preprocessing.py",
        ("variances > np.maximum(noise, SMALLEST)", "variances > noise"),
    ),
    mutant(
        "rounding along all axes alike",
        "moments.py",
        ("(axes**2 @ squares)", "squares.sum()"),
    ),
    mutant(
        "rounding along the axes' columns",
        "moments.py",
        ("(axes**2 @ squares)", "(squares @ axes**2)"),
    ),
    mutant(
        "as many of the first axes as are kept",
        "preprocessing.py",
        (KEPT, KEPT.replace("kept", ": self.rank")),
    ),
    mutant(
        "back by the first axes",
        "preprocessing.py",
        (BACK, "x = x * spread @ self.axes[: len(spread)]"),
    ),
    # and back
    mutant(
        "back without the mean",
        "preprocessing.py",
        ("(x + mean).astype(self.dtype)", "(x + 0 * mean).astype(self.dtype)"),
    ),
    mutant("back by the variance", "preprocessing.py", (BACK, "x = x * spread**2 @ axes")),
    mutant("back without the spread", "preprocessing.py", (BACK, "x = x @ axes")),
    mutant(
        "back turned the wrong way",
        "preprocessing.py",
        (BACK, "x = x * spread @ (axes.T if self.stage == 'decorrelated' else axes)"),
    ),
    mutant("back in float64", "preprocessing.py", ("return (x + mean).astype(self.dtype)", "return x + mean")),
    # states
    mutant(
        "what was learnt can be written to",
        "preprocessing.py",
        ("    view.flags.writeable = False\n", ""),
    ),
    mutant("state_dict gives its own arrays", "preprocessing.py", ('"axes": axes.copy()}', '"axes": axes}')),
    mutant(
        "load_state_dict keeps what it is given",
        "preprocessing.py",
        ('(state[name].copy() for name in ("mean"', '(state[name] for name in ("mean"'),
    ),
    mutant(
        "a state's spread without its count",
        "preprocessing.py",
        ("np.sqrt(count * variances)[:, None]", "np.sqrt(variances)[:, None]"),
    ),
    mutant(
        "a state's axes worked out anew",
        "preprocessing.py",
        ("        self._spectrum = variances, axes\n", "        self._spectrum = None\n"),
    ),
)
