"""docs/howto.md: its options and names are there, its numbers are the code's, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import gpuprof
from gpuprof import runlist
from gpuprof.__main__ import _parser
from gpuprof.record import longrun
from gpuprof.results.comparison import BETWEEN_RUNS
from gpuprof.results.profile import Profile
from gpuprof.words import LAYERTIME

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "howto.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_options_of_the_magic_are_there() -> None:
    assert set(re.findall(r"%%layertime --([a-z]+)", TEXT)) <= LAYERTIME.keys()
    assert "nvtx" in LAYERTIME


def test_the_commands_can_be_typed() -> None:
    commands = re.findall(r"^    python -m gpuprof ([^#\n]+)", TEXT, flags=re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        _parser().parse_args(command.replace("[OUT]", "OUT").split())


def test_the_names_are_there() -> None:
    assert [name for name in re.findall(r"\bprofile\.(\w+)\(", TEXT) if not hasattr(Profile, name)] == []
    assert [name for name in re.findall(r"\bgpuprof\.(\w+)", TEXT) if not hasattr(gpuprof, name)] == []


def test_the_numbers_are_the_codes() -> None:
    assert f"{longrun.MOST:,}".replace(",", " ") in TEXT
    assert f"newest {runlist.KEPT} results" in TEXT
    assert f"no more than {runlist.ROOM >> 20} MB" in TEXT
    assert f"{runlist.LISTED} rows" in TEXT
    assert f"up to {BETWEEN_RUNS['host']:.0%} on one".replace("%", " %") in TEXT
    assert f"by {BETWEEN_RUNS['device']:.0%}.".replace("%", " %") in TEXT.replace("\n", " ")


def test_the_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", TEXT)
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
