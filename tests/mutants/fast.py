"""Mistakes in what makes passes fast: recorded, cut into pieces, shared out to processes. `tests/fast.py` judges them."""

from tests.mutants.mutant import mutant

_CHECKED = "                    criterion.check(found.calls.outputs[_OUTPUT], target)\n"
_KEY = "key = (type(criterion), criterion.reduction, names, share)"
_SAID = "said = message, [form(array) for array in arrays]"
_AGAIN = "                np.copyto(place, array)\n            self.connection.sendall(_AGAIN)\n"
_SHARED = "value * output.dtype.type(share), doutput * output.dtype.type(share)"
_PICKLED = "pickled = pickle.dumps(criterion)"
_ALIKE = "arrays.keys() == places.keys() and all(alike(arrays[name], place) for name, place in places.items())"
_PUT = "    for name, place in places.items():\n        np.copyto(place, arrays[name])\n"

MUTANTS = (
    # capture.py
    mutant("labels of a replayed pass not looked at", "capture.py", (_CHECKED, "")),
    mutant("recorded for any reduction", "capture.py", (_KEY, _KEY.replace("criterion.reduction, ", ""))),
    mutant("recorded for any share", "capture.py", (_KEY, _KEY.replace(", share", ""))),
    mutant("recorded for any loss", "capture.py", (_KEY, _KEY.replace("type(criterion), ", ""))),
    mutant("recorded for masks of any names", "capture.py", (_KEY, _KEY.replace("names, ", "names is None, "))),
    mutant("recorded for any sizes", "capture.py", ("(*key, *map(form, inputs))", "(*key, len(inputs))")),
    mutant(
        "slopes and weights of the time of recording",
        "capture.py",
        ("found and changed(found.held)", "False"),
    ),
    mutant("the output lent too", "capture.py", ('grads.pop(_OUTPUT).copy("K")', "grads.pop(_OUTPUT)")),
    mutant("predictions lent", "capture.py", ("found.calls(x)[_OUTPUT]", "found.calls.lent(x)[_OUTPUT]")),
    # recording.py
    mutant("what is lent may be written to", "recording.py", ("array.flags.writeable = False", "del array")),
    mutant(
        "labels of the time of recording",
        "recording.py",
        ("np.copyto(place, array)", "np.copyto(place, array, where=array.dtype.kind != 'i')"),
    ),
    mutant(
        "the last call not made again", "recording.py", ("for call in self._calls:", "for call in self._calls[:-1]:")
    ),
    # passes.py, batch.py, parallel.py
    mutant(
        "gradients of a part not divided",
        "passes.py",
        (
            _SHARED,
            _SHARED.replace(" * output.dtype.type(share)", "", 2).replace("value", "value * output.dtype.type(share)"),
        ),
    ),
    mutant(
        "the loss of a part not divided", "passes.py", (_SHARED, _SHARED.replace(" * output.dtype.type(share)", "", 1))
    ),
    mutant("a sum divided among parts", "batch.py", (' and criterion.reduction == "mean"', "")),
    mutant("a part divided by its own samples", "batch.py", ("of=of or len(x))", "of=len(x))")),
    mutant("the first piece's gradients overwritten", "batch.py", ("kept(next(passes))", "next(passes)")),
    mutant(
        "gradients lent whether asked for or not",
        "parallel.py",
        ("else batch.kept(batch.add(passes))", "else batch.add(passes)"),
    ),
    # channel.py, exchange.py, worker.py
    mutant("the same message, whatever the arrays", "channel.py", (_SAID, "said = message, len(arrays)")),
    mutant(
        "the same message, with the last numbers",
        "channel.py",
        (_AGAIN, "                del place, array\n            self.connection.sendall(_AGAIN)\n"),
    ),
    mutant("arrays whatever the message", "channel.py", (_SAID, "said = [form(array) for array in arrays]")),
    mutant(
        "the last message heard again",
        "channel.py",
        ("self._heard, self._body = None,", "self._heard, self._body = self._heard,"),
    ),
    mutant(
        "a loss as it was the first time",
        "worker.py",
        (_PICKLED, "pickled = vars(self).setdefault('pickled', pickle.dumps(criterion))"),
    ),
    mutant(
        "parameters as they were the first time",
        "exchange.py",
        (_PUT, _PUT.replace("        np.copyto", "        if not place.any():\n            np.copyto")),
    ),
    mutant("whatever fits after a fashion is put", "exchange.py", (_ALIKE, "arrays.keys() == places.keys()")),
    mutant(
        "gradients in the order in which they come",
        "exchange.py",
        (
            _PUT,
            "    for place, array in zip(places.values(), arrays.values(), strict=True):\n        np.copyto(place, array)\n",
        ),
    ),
)
