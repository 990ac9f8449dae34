"""docs/cnn.md: its code runs, and its table is that of the code."""

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from cnn.activations import ACTIVATIONS
from cnn.initializers import INITIALIZERS, get_initializer
from cnn.kinds import CODES
from cnn.losses import LOSSES
from cnn.optimizers import OPTIMIZERS
from cnn.schedules import SCHEDULES

TEXT = (Path(__file__).parents[2] / "docs" / "cnn.md").read_text(encoding="utf-8")


def test_the_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(compile(code, "docs/cnn.md", "exec"), {})
    assert "accuracy rate" in capsys.readouterr().out
    assert (tmp_path / "digits.npz").is_file()


def test_the_table_has_every_layer_with_its_keywords_and_their_defaults():
    rows = [row.strip("| ").split(" | ") for row in TEXT.splitlines() if row.startswith("| `")]
    for codes, name, *keywords in rows:
        kinds = {CODES[code] for code in re.findall(r"`(\w+)`", codes)}
        assert {kind.__name__ for kind in kinds} == {name.strip(" `|")}
        parameters = inspect.signature(kinds.pop()).parameters
        for keyword, default in re.findall(r"`(\w+)(?:=([^`]*))?`", " ".join(keywords)):
            assert keyword in parameters
            if default and not default.startswith(("(", "pool")):
                assert parameters[keyword].default == ast.literal_eval(default)
    assert {name.strip(" `|") for _, name, *_ in rows} == {kind.__name__ for kind in CODES.values()}


def part(heading):
    """What stands under a heading of the page, on one line."""
    return " ".join(TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0].split())


def test_every_activation_is_named_with_its_keywords_and_their_first_values():
    told = part("Activations, losses, first weights").partition("**`act`**")[2].partition("The softmax family")[0]
    for name, cls in ACTIVATIONS.items():
        found = re.search(
            rf"(?<![\w-]){re.escape(name)}(?! \w*(?:sigmoid|softmax|tanh|ReLU))(?: or lReLU)? ?(\([^)]*\))?", told
        )
        assert found, name
        keywords = {each.name for each in fields(cls)}
        assert set(re.findall(r"[a-z]\w*(?==)", found[1] or "")) == (keywords if name != "SELU" else set()), name
        for key, value in re.findall(r"([a-z]\w*)=([\d./]+)", found[1] or ""):
            top, _, bottom = value.partition("/")
            assert getattr(cls(), key) == float(top) / float(bottom or 1), (name, key)


@pytest.mark.parametrize("table", [LOSSES, INITIALIZERS])
def test_every_loss_and_every_first_weight_is_named(table):
    told = part("Activations, losses, first weights")
    assert [name for name in table if f'"{name}"' not in told] == []
    assert get_initializer("He").fan == "in"


def test_every_optimizer_is_in_the_table_with_its_defaults():
    rows = re.findall(r"^\| ([A-Z][\w, ]+) \| (\w+=.*) \|$", TEXT, flags=re.MULTILINE)
    told = {name: dict(re.findall(r"(\w+)=([^, ]+)", row)) for names, row in rows for name in names.split(", ")}
    assert set(told) == set(OPTIMIZERS)
    shared = {"weight_decay", "decoupled", "schedule", "derivative", "seed", "base_dic"}
    for name, defaults in told.items():
        optimizer = OPTIMIZERS[name]()
        assert {each.name for each in fields(optimizer)} - shared == set(defaults), name
        for key, value in defaults.items():
            assert getattr(optimizer, key) == ast.literal_eval(value), (name, key)


def test_every_schedule_is_named():
    assert [name for name in SCHEDULES if f'"{name}"' not in part("Optimizers")] == []
