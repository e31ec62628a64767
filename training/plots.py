"""Pictures of a model's quality. Written to files; nothing is shown."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.metrics import calibration_table

__all__ = ["plot_calibration", "plot_lift"]

Floats = NDArray[np.float64]
_COLOURS = {"Patron": "#0b6e4f", "MBG/NBD": "#9a9a9a"}


def plot_calibration(y: NDArray[np.int8], curves: dict[str, Floats], path: Path, title: str) -> None:
    """Draw observed against predicted churn in ten equal-mass bins, one curve a model.

    Parameters
    ----------
    y
        Outcomes, n.
    curves
        Model name -> probabilities, n.
    """
    figure = Figure(figsize=(5.5, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1, label="perfect")
    for name, p in curves.items():
        table = calibration_table(y, p)
        axes.plot(
            table.mean_predicted,
            table.observed,
            marker="o",
            markersize=4,
            color=_COLOURS.get(name),
            label=name,
        )
    axes.set(
        xlabel="predicted probability of churn", ylabel="observed share of churn", xlim=(0, 1), ylim=(0, 1)
    )
    _finish(figure, axes, title, path)


def plot_lift(y: NDArray[np.int8], curves: dict[str, Floats], path: Path, title: str) -> None:
    """Draw the share of all churners reached when the riskiest customers are taken first, one curve a model."""
    figure = Figure(figsize=(5.5, 5.0), layout="constrained")
    axes = figure.subplots()
    share = np.arange(1, len(y) + 1) / len(y)
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1, label="at random")
    for name, p in curves.items():
        reached = np.cumsum(y[np.argsort(-p, kind="stable")]) / y.sum()
        axes.plot(share, reached, color=_COLOURS.get(name), label=name)
    axes.set(
        xlabel="share of customers, riskiest first",
        ylabel="share of churners reached",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    _finish(figure, axes, title, path)


def _finish(figure: Figure, axes: mpl.axes.Axes, title: str, path: Path) -> None:
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
