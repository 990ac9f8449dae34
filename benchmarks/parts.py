"""A benchmark of several parts: each in a process of its own with a time limit, kept as soon as it is done."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import commit, keep, newest


@dataclass(frozen=True)
class Parts:
    """What is kept in results/NAME.json, part by part; `benchmarks.NAME.one(part)` measures one and keeps it.

    Attributes:
        name: the benchmark's.
        limits: the seconds that each part may take, in their order.
    """

    name: str
    limits: Mapping[str, float]

    def kept(self) -> dict[str, dict[str, Any]]:
        """The parts in the newest file there is."""
        return dict(newest(self.name).get("parts", {}))

    def keep(self, part: str, content: dict[str, Any], parts: dict[str, Any] | None = None, **others: Any) -> Path:
        """The file written: `parts`, by default those kept so far, with this one in its place, and `others`."""
        about = {"date": datetime.date.today().isoformat(), "commit": commit()}
        beside = self.kept() if parts is None else parts
        return keep(self.name, others | {"parts": beside | {part: about | content}})

    def chosen(self, names: list[str] | None) -> list[str]:
        """The parts that are meant: all without names; "rest" those that this commit has not measured.

        Raises:
            ValueError: a name that is none.
        """
        if names == ["rest"]:
            done = self.kept()
            return [part for part in self.limits if done.get(part, {}).get("commit") != commit()]
        if unknown := [part for part in names or () if part not in self.limits]:
            raise ValueError(f"no part {unknown[0]!r}; there are {', '.join(self.limits)}")
        return names or list(self.limits)

    def all_apart(self, chosen: list[str]) -> list[str]:
        """Measure these one after another, each in a process of its own; which of them failed."""
        return [part for part in chosen if not self.apart(part)]

    def apart(self, part: str) -> bool:
        """Measure a part in a process of its own; whether it ended well."""
        command = [sys.executable, "-c", f"from benchmarks.{self.name} import one; one({part!r})"]
        try:
            return subprocess.run(command, timeout=self.limits[part], check=False).returncode == 0
        except subprocess.TimeoutExpired:
            print(f"{part}: not done after {self.limits[part]} s", flush=True)
            return False

    def said(self, chosen: list[str], failed: list[str], report: Any) -> int:
        """Print what was measured and what failed; 1 if one did."""
        kept = self.kept()
        print(report({part: kept[part] for part in chosen if part in kept}))
        if failed:
            print(f"failed: {', '.join(failed)}")
        return 1 if failed else 0
