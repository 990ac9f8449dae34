"""docs/cnn.md: its code runs, and its table is that of the code."""

import ast
import inspect
import re
from pathlib import Path

from cnn.kinds import CODES

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
