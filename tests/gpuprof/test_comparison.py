"""A comparison: its words, its file, and two stored results held against each other."""

import math
from typing import Any

import pytest

from gpuprof.judge.figures import NOTHING, Sample
from gpuprof.judge.ratio import Ratio
from gpuprof.results.comparison import BETWEEN_RUNS, Comparison
from gpuprof.results.timing import Timing

from .models import check_refused


def ratio(quantity: str = "device", **others: Any) -> Ratio:
    known = {"ratio": 1.31, "low": 1.28, "high": 1.34, "floor": 0.005, "word": "FASTER", "quartets": 24, "needed": 24}
    return Ratio(**{"quantity": quantity, "a": 1.31e-3, "b": 1e-3} | known | others)


def comparison(*ratios: Ratio, **others: Any) -> Comparison:
    return Comparison(**{"names": ("f(x)", "g(x)"), "ratios": ratios, "deciding": ratios[0].quantity} | others)


def timing(host: float, device: float | None = None, /, **others: Any) -> Timing:
    gated = {"device": Sample((device,) * 30), "way": "gate"} if device is not None else {}
    return Timing(**{"statement": "f(x)", "host": Sample((host,) * 30)} | gated | others)


SAME = {"ratio": 1.001, "low": 0.998, "high": 1.004, "word": "SAME"}
UNCLEAR = {"ratio": 1.01, "low": 0.99, "high": 1.03, "word": "UNCLEAR", "needed": 400}


# Words


def test_faster_is_said_with_its_factor_and_interval() -> None:
    assert comparison(ratio()).verdict == "FASTER 1.31× [1.28, 1.34] (device, 99 % interval)."


def test_same_is_said_with_the_floor() -> None:
    assert comparison(ratio(**SAME)).verdict == "SAME (within ±0.5 %) (device, 99 % interval)."


def test_unclear_says_what_it_would_take() -> None:
    assert comparison(ratio(**UNCLEAR)).verdict.startswith("UNCLEAR 1.01× [0.9900, 1.030], would take 400 quartets")


def test_without_an_interval_the_quartets_are_counted() -> None:
    found = comparison(ratio(word="UNCLEAR", low=math.nan, high=math.nan, quartets=2))
    assert found.verdict.startswith("UNCLEAR: only 2 quartets could be taken")


def test_the_other_quantities_follow_the_deciding_one() -> None:
    found = comparison(ratio(), ratio("host", **SAME))
    assert found.verdict.endswith("(device, 99 % interval) · host SAME (within ±0.5 %).")
    assert (found.word, found.ratio) == ("FASTER", 1.31)


def test_whether_the_results_agree_is_said_last() -> None:
    assert comparison(ratio(), agreement="Results are equal.").verdict.endswith(". Results are equal.")


def test_a_quantity_is_found_by_name() -> None:
    assert comparison(ratio(), ratio("host"))["host"].quantity == "host"


def test_a_quantity_that_was_not_compared_is_answered_with_those_that_were() -> None:
    with pytest.raises(KeyError, match="no 'cold' was compared; there are device, host"):
        comparison(ratio(), ratio("host"))["cold"]


def test_it_prints_its_verdict_the_two_statements_and_its_warnings() -> None:
    lines = str(comparison(ratio(), warnings=("it prints",))).splitlines()
    assert lines[1:] == ["A: f(x)", "B: g(x)", "note: it prints"]
    assert repr(comparison(ratio())).startswith("<Comparison: FASTER")


def test_the_table_has_a_row_a_quantity_in_microseconds() -> None:
    table = comparison(ratio(), ratio("host")).table
    assert table["quantity"].tolist() == ["device", "host"]
    assert table["a_us"].tolist() == [1310.0, 1310.0]


def test_the_html_escapes_both_statements() -> None:
    html = comparison(ratio(), names=("a < b", "c & d"), warnings=("<x>",))._repr_html_()
    assert "a &lt; b" in html
    assert "c &amp; d" in html
    assert "<x>" not in html


def test_the_plot_is_on_the_axes_it_is_given() -> None:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    assert comparison(ratio(), ratio("host")).plot(ax) is ax


# The file


def test_a_comparison_comes_back_from_its_file(tmp_path) -> None:
    found = comparison(ratio(), ratio("host"), agreement="Results are equal.", about={"gpu": "H200"}, stopped="x")
    assert Comparison.load(found.save(tmp_path / "c.json")) == found


def test_an_interval_that_is_not_known_comes_back_as_nan(tmp_path) -> None:
    found = Comparison.load(comparison(ratio(low=math.nan, high=math.nan, word="UNCLEAR")).save(tmp_path / "c.json"))
    assert math.isnan(found.ratios[0].low)


@pytest.mark.parametrize("text", ["{", "[]", '{"gpuprof": "timing", "schema": 1}'])
def test_a_file_that_is_no_comparison_is_refused(tmp_path, text: str) -> None:
    check_refused(Comparison, tmp_path / "c.json", text, "gpuprof comparison")


def test_a_damaged_comparison_is_refused(tmp_path) -> None:
    path = comparison(ratio()).save(tmp_path / "c.json")
    check_refused(Comparison, path, path.read_text().replace('"names"', '"nomes"'), "a part missing or damaged")


# Two stored results


def test_old_over_new_is_above_1_where_the_new_is_faster() -> None:
    found = timing(1e-3).compare(timing(4e-3))
    assert (found.word, found.ratio) == ("FASTER", pytest.approx(4.0))
    assert found.names == ("f(x)", "f(x)")


def test_stored_results_say_that_they_were_not_taken_in_turns() -> None:
    assert "Not taken in turns" in timing(1e-3).compare(timing(2e-3)).verdict


def test_what_separate_runs_may_differ_by_is_not_called_faster() -> None:
    assert timing(1e-3).compare(timing(1.2e-3)).word == "SAME"
    assert timing(1e-5, 1e-3).compare(timing(1e-5, 1.02e-3)).word == "SAME"


def test_the_floor_between_runs_is_each_quantitys_own_and_the_widths_add_to_it() -> None:
    found = timing(1e-5, 1e-3).compare(timing(1e-5, 2e-3))
    assert {ratio.quantity: ratio.floor for ratio in found.ratios} == {
        name: pytest.approx(BETWEEN_RUNS[name], abs=1e-6) for name in ("host", "device")
    }
    wide = Sample((1e-3, 1.2e-3) * 15)
    assert timing(1e-5, device=wide, way="gate").compare(timing(1e-5, 1e-3))["device"].floor > 0.1


@pytest.mark.parametrize(("host", "deciding"), [(1e-5, "device"), (1e-2, "host")])
def test_what_sets_the_pace_of_both_decides(host: float, deciding: str) -> None:
    assert timing(host, 1e-3).compare(timing(host, 2e-3)).deciding == deciding


def test_device_times_of_different_ways_are_not_compared() -> None:
    found = timing(1e-5, 1e-3).compare(timing(1e-5, 1e-3, way="throughput"))
    assert [ratio.quantity for ratio in found.ratios] == ["host"]


def test_too_few_batches_leave_it_unclear_and_say_so() -> None:
    found = timing(0.0, host=Sample((1e-3,) * 3)).compare(timing(2e-3))
    assert found.verdict.startswith("UNCLEAR: too few batches for an interval")
    assert found._repr_html_()


def test_two_results_without_a_quantity_in_common_are_refused() -> None:
    with pytest.raises(ValueError, match="no quantity in common"):
        timing(0.0, host=NOTHING).compare(timing(1e-3))


def test_what_else_changed_between_the_two_is_told() -> None:
    new = timing(1e-3, about={"gpu": "H200"}, after={"clock_sm_mhz": 1980})
    old = timing(1e-3, about={"gpu": "A100"}, after={"clock_sm_mhz": 1410})
    assert new.compare(old).warnings == (
        "gpu was A100 and is H200",
        "the SM clock was 1410 MHz and is 1980 MHz",
    )


def test_of_another_machine_nothing_is_claimed() -> None:
    """A host's time may be another processor's; a device's is not."""
    new = timing(1e-3, 1e-5, about={"gpu": "H200", "processor": "Xeon"})
    found = new.compare(timing(5e-3, 5e-5, about={"gpu": "H200", "processor": "EPYC"}))
    assert {ratio.quantity: ratio.word for ratio in found.ratios} == {"host": "UNCLEAR", "device": "FASTER"}
    assert found.warnings == ("processor was EPYC and is Xeon",)
    assert found.ratio == pytest.approx(5)
    found = new.compare(timing(5e-3, 5e-5, about={"gpu": "A100", "processor": "Xeon"}))
    assert {ratio.word for ratio in found.ratios} == {"UNCLEAR"}


def test_a_clock_that_moved_by_less_than_a_hundredth_is_not_told() -> None:
    new, old = (timing(1e-3, after={"clock_sm_mhz": mhz}) for mhz in (1980, 1965))
    assert new.compare(old).warnings == ()


def test_a_fused_statement_is_held_against_the_pace_of_the_launch_bound_one() -> None:
    found = timing(30e-6, 40e-6).compare(timing(100e-6, 15e-6))
    assert (found.deciding, found.word) == ("throughput", "FASTER")
    assert found.ratio == pytest.approx(2.5)


def test_long_device_times_without_a_gate_are_compared_where_the_host_hardly_counts() -> None:
    events = {"way": "events"}
    found = timing(1e-4, 0.3, **events).compare(timing(1e-4, 0.6, **events))
    assert (found.deciding, found.word) == ("device", "FASTER")


def test_without_host_samples_another_quantity_decides() -> None:
    old, new = (
        Timing("f(x)", host=NOTHING, kernels=Sample((seconds,) * 30), kernel_count=1.0) for seconds in (2e-3, 1e-3)
    )
    assert str(new.compare(old)).startswith("FASTER")


def test_an_interrupted_comparison_says_so() -> None:
    assert str(comparison(ratio(), stopped="interrupted")).endswith("note: interrupted")


def test_the_machine_is_the_gpu_and_on_the_host_clock_the_processor() -> None:
    about = {"gpu": "H200", "processor": "Xeon"}
    assert "Xeon · host clock" in comparison(ratio("host"), about=about)._repr_html_()
    assert "H200 · CUDA events" in comparison(ratio(), about=about, clock="CUDA events")._repr_html_()
    assert "Xeon" in timing(1e-3, about=about)._repr_html_()
