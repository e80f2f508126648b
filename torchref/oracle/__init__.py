"""The oracle: holds hand-written layers, losses, optimisers and networks against torch.

What is judged comes in as NumPy arrays from objects of a plain contract (`candidate`); nothing of theirs is imported.
Each check returns a `Report` of `Comparison`s in the order of computation, which names the tensor, the criterion, the
worst element and the error in units of what is allowed there.
"""

from torchref.oracle.checking import check
from torchref.oracle.comparing import compare
from torchref.oracle.comparison import Comparison, EquivalenceError, Report, compare_arrays, merge
from torchref.oracle.conforming import conforms
from torchref.oracle.finite_difference import check_gradients
from torchref.oracle.layer import check_layer
from torchref.oracle.loss import check_loss, check_penalty
from torchref.oracle.network import Pass, check_network, judge_pass, run
from torchref.oracle.networks.mine import NetworkAdapter
from torchref.oracle.optimizer import check_sgd
from torchref.oracle.purity import check_purity
from torchref.oracle.state import check_state
from torchref.oracle.subjects.adapter import Adapter
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.thinning import ThinnedCandidate, thinned
from torchref.oracle.training import compare_training
from torchref.oracle.verdict import Verdict

__all__ = [
    "Adapter",
    "Comparison",
    "EquivalenceError",
    "Misbehaviour",
    "NetworkAdapter",
    "Pass",
    "Report",
    "ThinnedCandidate",
    "Verdict",
    "check",
    "check_gradients",
    "check_layer",
    "check_loss",
    "check_network",
    "check_penalty",
    "check_purity",
    "check_sgd",
    "check_state",
    "compare",
    "compare_arrays",
    "compare_training",
    "conforms",
    "judge_pass",
    "merge",
    "run",
    "thinned",
]
