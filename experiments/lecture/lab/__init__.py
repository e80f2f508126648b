"""What every experiment of the lecture shares: the two wings, claims, figures, seeds and statistics."""

from experiments.lecture.lab.claim import Claim
from experiments.lecture.lab.lab import Lab
from experiments.lecture.lab.statistics import Rate, Spread, rate, sign_test, spread, worst
from experiments.lecture.lab.themes import Theme
from experiments.lecture.lab.timing import alternately
from experiments.lecture.lab.wings import WINGS, Make, Wing, epochs, initial, most_apart, squared_error

__all__ = [
    "WINGS",
    "Claim",
    "Lab",
    "Make",
    "Rate",
    "Spread",
    "Theme",
    "Wing",
    "alternately",
    "epochs",
    "initial",
    "most_apart",
    "rate",
    "sign_test",
    "spread",
    "squared_error",
    "worst",
]
