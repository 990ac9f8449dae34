"""The ONNX backend's cases on cnn's layers; docs/cnn-onnx.md is the table of them."""

import numpy as np
import pytest

from tests.cnn.onnx_cases import table
from tests.cnn.onnx_cases.runner import reason
from tests.cnn.onnx_cases.stored import about, arrays, cases
from tests.cnn.onnx_cases.verdict import misfit

IN_SCOPE = [case for case in cases() if case.keys and reason(case) is None]
UNKEPT = [case for case in cases() if not case.keys and reason(case) is None]


def placed(xp, inputs):
    """Arrays on the device of `xp`, but for whole numbers and single ones."""
    return [each if each is None or each.ndim == 0 or each.dtype.kind != "f" else xp.asarray(each) for each in inputs]


@pytest.mark.parametrize("case", IN_SCOPE, ids=lambda case: f"{case.kind}-{case.name.removeprefix('test_')}")
def test_a_case_in_scope_passes(xp, case):
    inputs, outputs = arrays(case)
    assert misfit(case, placed(xp, inputs), outputs) == ""


def test_the_cases_in_scope_are_no_fewer_than_they_were():
    assert len(IN_SCOPE) >= 193
    assert len({table.operator(case) for case in IN_SCOPE}) == len(table.OURS)


def test_a_wrong_number_shape_or_type_is_told():
    case = next(case for case in IN_SCOPE if case.name == "test_relu")
    inputs, (y,) = arrays(case)
    for wrong in (y + 0.01, y.reshape(-1), y.astype("float64")):
        assert misfit(case, inputs, [wrong]).startswith("test_relu, output 0: ")


def test_the_page_says_what_runs():
    assert table.PAGE.read_text(encoding="utf-8") == table.page()


@pytest.fixture(scope="module")
def installed():
    """Every case by name, from the onnx package of this machine."""
    pytest.importorskip("onnx", reason="the cases that are not kept here, and a look at those that are, need onnx")
    from tests.cnn.onnx_cases import collect

    return {(fields["kind"], fields["name"]): (fields, *rest) for fields, *rest in collect.found()}


@pytest.mark.parametrize("case", UNKEPT, ids=lambda case: case.name)
def test_a_case_too_large_to_keep_passes(xp, case, installed):
    _, inputs, outputs = installed[case.kind, case.name]
    assert misfit(case, placed(xp, inputs), outputs) == ""


def test_the_kept_numbers_are_those_of_the_package(installed):
    import onnx

    if onnx.__version__ != about()["onnx"]:
        pytest.skip(f"onnx {onnx.__version__} is installed, the numbers were kept from {about()['onnx']}")
    for case in cases():
        if case.keys:
            _, *theirs = installed[case.kind, case.name]
            for ours, others in zip(arrays(case), theirs, strict=True):
                for here, there in zip(ours, others, strict=True):
                    np.testing.assert_array_equal(here, there, err_msg=case.name)
