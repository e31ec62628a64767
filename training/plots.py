"""Pictures of a model's quality. Written to files; nothing is shown."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.metrics import calibration_table
from training.survival import BIN_ENDS, days_until

__all__ = ["plot_calibration", "plot_lift", "plot_survival"]

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


def plot_survival(hazards: dict[str, Floats], days: Floats, curves: dict[str, Floats], path: Path) -> None:
    """Draw how long single customers stay away, and how many in the mean against how many did.

    Parameters
    ----------
    hazards
        Who -> cumulative hazard at the ends of the bins; 10, 50 and 90 % of the next order's time are marked.
    days
        Time to the next order, n; NaN: none seen.
    curves
        Model name -> P(order before the end of each of the first bins), n x bins.
    """
    figure = Figure(figsize=(11.0, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, hazard in hazards.items():
        (line,) = left.plot(np.append(0.0, BIN_ENDS), np.exp(-np.append(0.0, hazard)), label=name)
        marks = [(float(days_until(hazard[None], p)[0]), 1.0 - p) for p in (0.1, 0.5, 0.9)]
        left.plot(*zip(*marks, strict=True), "o", markersize=5, color=line.get_color())
    left.set(xlabel="days from the cutoff", ylabel="probability of no order yet", xlim=(0, 365), ylim=(0, 1))
    bins = next(iter(curves.values())).shape[1]
    observed = (days[:, None] < BIN_ENDS[:bins]).mean(axis=0)
    right.plot(BIN_ENDS[:bins], observed, "o", color="#222222", label="observed")
    for name, p in curves.items():
        right.plot(BIN_ENDS[:bins], p.mean(axis=0), color=_COLOURS.get(name), label=name)
    right.set(xlabel="days from the cutoff", ylabel="share with an order", xlim=(0, None), ylim=(0, None))
    for axes, title in ((left, "Four customers, with 10, 50 and 90 % marks"), (right, "Forward predictions")):
        _dress(axes, title)
    figure.savefig(path, dpi=120)


def _finish(figure: Figure, axes: mpl.axes.Axes, title: str, path: Path) -> None:
    _dress(axes, title)
    figure.savefig(path, dpi=120)


def _dress(axes: mpl.axes.Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
