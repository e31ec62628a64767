"""Pictures of what commands found. Written to files; nothing is shown."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

__all__ = ["plot_segments"]


def plot_segments(segments: Mapping[str, Mapping[str, int]], path: Path, title: str) -> None:
    """Draw how many customers are in each class, one panel a scheme.

    Parameters
    ----------
    segments
        Scheme -> class -> customers.
    """
    height = 1.0 + 0.3 * max(len(classes) for classes in segments.values())
    figure = Figure(figsize=(3.4 * len(segments), height), layout="constrained")
    for axes, (scheme, classes) in zip(
        figure.subplots(1, len(segments), squeeze=False)[0], segments.items(), strict=True
    ):
        names = sorted(classes, key=lambda name: classes[name])
        bars = axes.barh(
            [name.replace("_", " ") for name in names], [classes[name] for name in names], color="#0b6e4f"
        )
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
        axes.set_title(scheme, fontsize=10)
        axes.set_xticks([])
        axes.margins(x=0.25)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=120)
