"""From a wrong tensor to the likely mistake: hypotheses are tested, not guessed."""

from torchref.oracle.diagnosis.codes import CODES
from torchref.oracle.diagnosis.diagnosis import Diagnosis, Problem
from torchref.oracle.diagnosis.testing import diagnose

__all__ = ["CODES", "Diagnosis", "Problem", "diagnose"]
