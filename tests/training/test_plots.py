"""Pictures: files that hold a picture of the size asked for, and of what they were given."""

import struct

import numpy as np
import pytest
from matplotlib.image import imread

from training.plots import plot_calibration, plot_lift, plot_survival

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


def waiting():
    rng = np.random.default_rng(0)
    hazards = {"regular": np.linspace(0.2, 4.0, 12), "gone": np.linspace(0.001, 0.02, 12)}
    days = np.where(rng.random(200) < 0.5, rng.exponential(40, 200), np.nan)
    p = np.tile(np.linspace(0.1, 0.5, 8), (200, 1))
    return hazards, days, {"Patron": p, "MBG/NBD": p * 0.8}


def test_survival_is_drawn(tmp_path):
    plot_survival(*waiting(), tmp_path / "p.png")
    written = (tmp_path / "p.png").read_bytes()
    assert struct.unpack(">II", written[16:24]) == (1320, 600)
    assert len(np.unique(imread(tmp_path / "p.png").reshape(-1, 4), axis=0)) > 50


def test_every_customer_every_model_and_what_happened_are_drawn(tmp_path):
    hazards, days, curves = waiting()
    pictures = [
        (hazards, days, curves),
        ({"regular": hazards["regular"]}, days, curves),
        (hazards, days, {"Patron": curves["Patron"]}),
        (hazards, np.full(200, np.nan), curves),
        ({}, days, curves),
    ]
    drawn = []
    for number, picture in enumerate(pictures):
        plot_survival(*picture, tmp_path / f"{number}.png")
        drawn.append((tmp_path / f"{number}.png").read_bytes())
    assert len(set(drawn)) == len(pictures)
