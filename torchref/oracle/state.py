"""State dicts held against torch's: same keys, order, shapes and dtypes, and moved without sharing memory."""

import numpy as np
from torch import nn

from torchref.oracle.candidate import StatefulCandidate, to_tensor
from torchref.oracle.comparison import Comparison, Report, to_array
from torchref.oracle.purity import same_bits


def check_state(case: str, candidate: StatefulCandidate, reference: nn.Module) -> Report:
    """Move a state from the candidate to torch and back, bit for bit, and try to break in through what was moved.

    The parameters hold the same values afterwards as before, in both.
    """
    before = {name: np.array(value) for name, value in candidate.parameters().items()}
    mine, theirs = candidate.state_dict(), reference.state_dict()
    layout = [(k, v.shape, v.dtype) for k, v in mine.items()]
    wanted = [(k, v.shape, v.dtype) for k, v in ((k, to_array(t)) for k, t in theirs.items())]
    faults = {"names, order, shapes, dtypes": "" if layout == wanted else f"{layout}, oracle {wanted}"}
    if layout == wanted:
        reference.load_state_dict({name: to_tensor(value) for name, value in mine.items()})
        back = {name: np.array(to_array(tensor)) for name, tensor in reference.state_dict().items()}

        def intact() -> bool:
            return all(same_bits(value, np.asarray(candidate.parameters()[name])) for name, value in before.items())

        for value in mine.values():
            value += 1
        faults["state_dict gives copies"] = "" if intact() else "changing what it gave changes the parameters"
        candidate.load_state_dict(back)
        faults["round trip"] = "" if intact() else "the parameters came back changed"
        for value in back.values():
            value += 1
        faults["load_state_dict takes copies"] = "" if intact() else "changing what it took changes the parameters"
        if back:
            *_, last = back
            bad = back | {last: np.zeros((*back[last].shape, 1), back[last].dtype)}
            faults["all or nothing"] = "refuses a misshapen entry with something other than ValueError, or not at all"
            try:
                candidate.load_state_dict(bad)
            except ValueError:
                faults["all or nothing"] = "" if intact() else "a refused state was half loaded"
    return Report(case, tuple(Comparison(name, "5 form", np.inf if f else 0.0, f) for name, f in faults.items()))
