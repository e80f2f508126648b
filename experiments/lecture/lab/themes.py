"""How figures look: on a light page and on a dark one, in colours that colour-blind people can tell apart.

The hues are those of Okabe and Ito; on the dark page they are lighter. A figure is drawn once per theme.
"""

import dataclasses
from typing import Any, Final


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours of a page.

    Parameters
    ----------
    name:
        "light" or "dark".
    page, ink, faint, grid:
        Background, text and axes, secondary text, lines behind the curves.
    blue, orange, green, vermillion, purple, sky:
        For curves and areas, in the order in which they are taken.
    """

    name: str
    page: str
    ink: str
    faint: str
    grid: str
    blue: str
    orange: str
    green: str
    vermillion: str
    purple: str
    sky: str

    @property
    def colours(self) -> tuple[str, ...]:
        """The six in order."""
        return (self.blue, self.orange, self.green, self.vermillion, self.purple, self.sky)

    def wing(self, name: str) -> dict[str, Any]:
        """How a wing's curve is drawn, whatever its colour: scratch wide and pale, torch dashed and on top of it."""
        if name == "scratch":
            return {"linewidth": 4.0, "alpha": 0.4, "solid_capstyle": "round", "zorder": 2}
        return {"linewidth": 1.4, "linestyle": (0, (4, 2)), "zorder": 3}

    def settings(self) -> dict[str, Any]:
        """Return matplotlib's settings."""
        return {
            "figure.facecolor": self.page,
            "savefig.facecolor": self.page,
            "axes.facecolor": self.page,
            "axes.edgecolor": self.faint,
            "axes.labelcolor": self.ink,
            "axes.titlecolor": self.ink,
            "axes.prop_cycle": _cycle(self.colours),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "grid.color": self.grid,
            "grid.linewidth": 0.7,
            "text.color": self.ink,
            "xtick.color": self.faint,
            "ytick.color": self.faint,
            "xtick.labelcolor": self.ink,
            "ytick.labelcolor": self.ink,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "font.size": 10,
            "svg.hashsalt": "twice",  # the same drawing is the same file
            "svg.fonttype": "path",
        }


def _cycle(colours: tuple[str, ...]) -> Any:
    from cycler import cycler

    return cycler(color=colours)


LIGHT: Final = Theme(
    "light",
    page="#ffffff",
    ink="#1b1f24",
    faint="#59636f",
    grid="#e6e9ed",
    blue="#0072b2",
    orange="#c98500",
    green="#009e73",
    vermillion="#b53a00",
    purple="#b8578f",
    sky="#2f98d6",
)
DARK: Final = Theme(
    "dark",
    page="#14171b",
    ink="#e7e9ec",
    faint="#9da7b3",
    grid="#2c323a",
    blue="#4ba6e8",
    orange="#f0b23c",
    green="#3ecaa0",
    vermillion="#f5703a",
    purple="#e090c0",
    sky="#8fd0f5",
)
THEMES: Final = (LIGHT, DARK)
