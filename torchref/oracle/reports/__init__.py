"""A verdict as a page, for machines, for CI and for the terminal."""

from torchref.oracle.reports.saving import WRITERS, save
from torchref.oracle.reports.text import render, show

__all__ = ["WRITERS", "render", "save", "show"]
