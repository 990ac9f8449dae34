"""What docs/timing.md shows of the simulations of benchmarks/coverage.py: each public function makes one block."""

from __future__ import annotations

from typing import Any

from benchmarks.results import load
from benchmarks.tables import Claim, about, table, tenths, word
from gpuprof.units import percent, seconds_text


def simulated_claims() -> list[Claim]:
    found = load("coverage")
    groups = [
        ("a fixed number of samples", found["coverage"]),
        ("where sampling stops by itself", found["stopped"]),
        ("its tick not told but read from ties, as host and kernel times' are", found["unaided"]),
    ]
    claimed = [_covering(name, rows) for name, rows in groups]
    flagged = min(row["share"] for row in found["shapes"] if row["what"] == "flagged")
    claimed.append(Claim("simulated: drift and two modes flagged", "95 % or more each", f"{tenths(flagged)} or more",
                         word(flagged >= 0.95)))  # fmt: skip
    return claimed


def _covering(name: str, rows: list[dict[str, Any]]) -> Claim:
    shares = [row["covered"] for row in rows]
    good = sum(map(_covers, shares))
    text = f"{100 * min(shares):.1f}–{100 * max(shares):.1f} %, {good} of {len(shares)} within"
    return Claim(f"simulated: the interval covers the truth, {name}", "93–98 % each", text, word(good == len(shares)))


def _covers(share: float) -> bool:
    return 0.93 <= share <= 0.98


def _marked(share: float) -> str:
    text = tenths(share)
    return text if _covers(share) else f"**{text}**"


def coverage() -> str:
    """How often the intervals hold the truth."""
    found, rows = load("coverage"), []
    for title, group in (("", found["coverage"]), (", its tick read from ties", found["unaided"])):
        shares: dict[str, list[str]] = {}
        for row in group:
            shares.setdefault(row["kind"] + title, []).append(_marked(row["covered"]))
        rows += [[kind, *cells] for kind, cells in shares.items()]
    counts = list(dict.fromkeys(row["count"] for row in found["coverage"]))
    one = found["coverage"][0]
    note = f"Each of {one['runs']} simulated runs; asked are 93–98 %, what is outside is in bold. {about('coverage')}"
    return f"{table(['samples', *map(str, counts)], rows)}\n\n{note}"


def stopping() -> str:
    """The same where sampling stops by itself."""
    found = load("coverage")["stopped"]
    rows = [(r["kind"], f"±{percent(r['precision'])}", r["count"], _marked(r["covered"])) for r in found]
    head = ("samples", "stops at", "samples taken, median", "covered")
    return f"{table(head, rows)}\n\nEach of {found[0]['runs']} simulated runs. {about('coverage')}"


def shapes() -> str:
    """Drift and two modes: found where they are, and where they are not."""
    found = load("coverage")["shapes"]
    rows = [
        (r["kind"], r["count"], tenths(r["share"]), word(r["share"] >= 0.95)) for r in found if r["what"] == "flagged"
    ]
    for name in ("drift", "two modes"):
        imagined = [r for r in found if r["what"] == "false" and r["kind"].startswith(name)]
        worst = max(imagined, key=lambda r: r["share"])
        counts = sorted({r["count"] for r in imagined})
        rows.append((f"{worst['kind']} (the worst of all kinds)", "–".join(map(str, (counts[0], counts[-1]))),
                     tenths(worst["share"]), ""))  # fmt: skip
    head = ("", "samples", "flagged", "reached (95 %)")
    return f"{table(head, rows)}\n\nEach of {found[0]['runs']} simulated runs. {about('coverage')}"


def ratios() -> str:
    """Comparisons, simulated: noise alone, and memory that moves a statement."""
    rows = []
    for r in load("coverage")["ratios"]:
        words, count = r["words"], r["runs"]
        different = sum(words.get(word, 0) for word in ("FASTER", "SLOWER"))
        right = words.get("SLOWER", 0) if r["change"] else different
        rest = [words.get(word, 0) / count for word in ("SAME", "UNCLEAR")]
        reached = word(right / count >= 0.9 if r["change"] else different / count <= 0.02)
        rows.append((r["kind"], percent(r["change"]), tenths(right / count), *map(tenths, rest), reached))
    head = (
        "batches",
        "true change",
        "called different",
        "SAME",
        "UNCLEAR",
        "reached (0 %: at most 2 %; 2 %: at least 90 %)",
    )
    one = load("coverage")
    note = f"Each of {one['ratios'][0]['runs']} simulated comparisons. {about('coverage')}"
    asking = f"Asking whether 2000 samples are enough takes {seconds_text(one['asking_s'], 2)} there."
    return f"{table(head, rows)}\n\n{note} {asking}"
