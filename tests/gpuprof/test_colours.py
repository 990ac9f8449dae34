"""The palette: what is seen on white and on black, and told apart by those who see no red or no green."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from gpuprof.views import colours
from gpuprof.views.colours import contrast, mixed, text_on

WHITE, BLACK = "#ffffff", "#111111"  # of JupyterLab's two themes
# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency (2009):
# linear RGB as dichromats see it
DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


def linear(colour: str) -> np.ndarray:
    rgb = np.array(colours.rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB, white D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(first: str, second: str, seen: list[list[float]]) -> float:
    """ΔE 1976 between two colours as a dichromat sees them."""
    one, other = (lab(np.clip(np.array(seen) @ linear(colour), 0, 1)) for colour in (first, second))
    return float(np.linalg.norm(one - other))


def test_contrast_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#0072B2", "#0072B2") == 1


@pytest.mark.parametrize("ground", [WHITE, BLACK])
@pytest.mark.parametrize("colour", sorted({*colours.PHASES.values(), *colours.QUANTITIES.values()}))
def test_every_bar_is_seen_on_white_and_on_black(colour: str, ground: str) -> None:
    assert contrast(colour, ground) >= 3


@pytest.mark.parametrize("colour", colours.LAYERS)
def test_a_name_is_read_on_its_layers_colour(colour: str) -> None:
    assert contrast(text_on(colour), colour) >= 4.5


@pytest.mark.parametrize("seen", [DEUTAN, PROTAN], ids=["deuteranopia", "protanopia"])
def test_the_phases_of_a_step_are_told_apart_without_red_or_green(seen: list[list[float]]) -> None:
    step = [colours.PHASES[phase] for phase in ("forward", "backward", "update")]
    assert min(apart(a, b, seen) for a, b in combinations(step, 2)) > 20


@pytest.mark.parametrize("seen", [DEUTAN, PROTAN], ids=["deuteranopia", "protanopia"])
def test_neighbouring_layers_are_told_apart_without_red_or_green(seen: list[list[float]]) -> None:
    ring = [*colours.LAYERS, colours.LAYERS[0]]
    assert min(apart(a, b, seen) for a, b in pairwise(ring)) > 20


@pytest.mark.parametrize("seen", [DEUTAN, PROTAN], ids=["deuteranopia", "protanopia"])
def test_host_and_gpu_are_told_apart_without_red_or_green(seen: list[list[float]]) -> None:
    assert apart(colours.HOST, colours.GPU, seen) > 40


def test_a_mixture_lies_between_its_two_colours() -> None:
    assert mixed("#ff0000", "#0000ff", 0.5) == "#800080"
    assert mixed("#123456", "#ffffff", 1) == "#123456"
