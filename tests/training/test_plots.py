"""Pictures: files that hold a picture of the size asked for, and of what they were given."""

import struct

import numpy as np
import pytest
from matplotlib.image import imread

from training.plots import plot_calibration, plot_lift

PLOTS = [plot_calibration, plot_lift]


def world():
    rng = np.random.default_rng(0)
    p = rng.random(500)
    return (rng.random(500) < p).astype(np.int8), {
        "Patron": p,
        "MBG/NBD": np.clip(p + rng.normal(0, 0.2, 500), 0, 1),
    }


@pytest.mark.parametrize("plot", PLOTS)
def test_a_picture_is_written(plot, tmp_path):
    y, curves = world()
    plot(y, curves, tmp_path / "p.png", "A title")
    written = (tmp_path / "p.png").read_bytes()
    assert written.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", written[16:24]) == (660, 600)  # 5.5 x 5 inches, 120 dots each
    colours = np.unique(imread(tmp_path / "p.png").reshape(-1, 4), axis=0)
    assert len(colours) > 50


@pytest.mark.parametrize("plot", PLOTS)
def test_every_curve_is_drawn(plot, tmp_path):
    y, curves = world()
    drawn = []
    for names in (["Patron"], ["Patron", "MBG/NBD"], ["Patron", "another model"]):
        path = tmp_path / f"{len(drawn)}.png"
        plot(y, {name: curves.get(name, curves["MBG/NBD"]) for name in names}, path, "A title")
        drawn.append(path.read_bytes())
    assert len(set(drawn)) == 3
