"""The colours of all views: seen on white and on black, told apart by the colour-blind; and what is read on them."""

from __future__ import annotations

# Okabe and Ito, Color Universal Design (2008); their sky blue, and a grey, darkened until they are seen on white
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, SKY, GREY = "#CC79A7", "#3D9BD1", "#8C8C8C"

HOST, GPU, WHOLE, OTHER = VERMILION, BLUE, PURPLE, GREY
QUANTITIES = {"host": HOST, "device": GPU, "kernels": GPU, "cold": GPU, "graph": WHOLE, "latency": WHOLE}
PHASES = {"forward": BLUE, "backward": VERMILION, "update": GREEN, "recompute": PURPLE, "region": SKY, "": GREY}
# of layers side by side: neighbours in this order are told apart by the colour-blind, too
LAYERS = (BLUE, "#E69F00", GREEN, VERMILION, "#56B4E9", PURPLE, "#8A6D3B")


def rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue of "#RRGGBB", each from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def mixed(colour: str, ground: str, share: float) -> str:
    """So much of `colour`, the rest of `ground`: what is seen of a colour that lets the ground through."""
    parts = (share * part + (1 - share) * below for part, below in zip(rgb(colour), rgb(ground), strict=True))
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def contrast(first: str, second: str) -> float:
    """From 1 to 21, as WCAG 2.2 defines it: text needs 4.5, what else must be seen 3."""
    darker, lighter = sorted(map(_luminance, (first, second)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(ground: str) -> str:
    """Black or white, whichever is read better on `ground`."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, ground))


def _luminance(colour: str) -> float:
    """The relative luminance of sRGB, as WCAG 2.2 has it."""
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb(colour))
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
