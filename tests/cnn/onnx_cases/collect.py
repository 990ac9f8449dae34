"""Take the cases out of the `onnx` package: python -m tests.cnn.onnx_cases.collect, where onnx is installed.

Only the operators in OPERATORS are taken. Cases that spell a function out in simpler operators
("_expanded") are counted; their numbers are those of their namesake, which is checked here.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KINDS = ("node", "pytorch-converted", "pytorch-operator", "simple")
LARGEST = 100_000  # bytes of a case that is kept; the rest is run where onnx is installed
OPERATORS = (
    *("Conv", "MaxPool", "GlobalMaxPool", "AveragePool", "GlobalAveragePool", "Col2Im", "Flatten", "Gemm"),
    *("BatchNormalization", "Dropout", "Softmax", "LogSoftmax", "SoftmaxCrossEntropyLoss"),
    *("NegativeLogLikelihoodLoss", "Adam", "Adagrad", "Momentum", "Identity", "Relu", "LeakyRelu", "PRelu", "Elu"),
    *("Selu", "Celu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign", "Mish", "Swish", "Gelu", "Shrink"),
    *("ThresholdedRelu", "Clip"),
)
GRAPHS = ("test_Softmin", "test_Softsign", "test_Linear_no_bias", "test_AvgPool1d", "test_AvgPool1d_stride")


def found() -> Iterator[tuple[dict[str, Any], list[Any], list[Any]]]:
    """Each case of one of our operators: its fields but for the keys, its inputs and its outputs."""
    for kind, case, model, inputs, outputs in _loaded():
        nodes = model.graph.node
        ops = [node.op_type for node in nodes]
        ours = (len(ops) == 1 and ops[0] in OPERATORS) or case.name in GRAPHS
        if not ours or "_expanded" in case.name:
            continue
        main = next((node for node in nodes if node.op_type in OPERATORS), nodes[-1])
        shown = [
            [None if each is None else [list(np.shape(each)), str(each.dtype)] for each in side]
            for side in (inputs, outputs)
        ]
        fields = {
            "name": case.name, "kind": kind, "ops": ops, "attributes": _attributes(main),
            "opset": max(each.version for each in model.opset_import), "inputs": shown[0], "outputs": shown[1],
            "rtol": case.rtol, "atol": case.atol,
        }  # fmt: skip
        yield fields, inputs, outputs


def _loaded() -> Iterator[tuple[str, Any, Any, list[Any], list[Any]]]:
    import onnx
    from onnx.backend.test import loader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operators that we do not have
        for kind in KINDS:
            for case in loader.load_model_tests(kind=kind):
                if case.model is not None:
                    inputs, outputs = case.data_sets[0]
                    yield kind, case, case.model, *_placed(case.model, inputs, outputs, {})
                else:
                    model = onnx.load(Path(case.model_dir) / "model.onnx")
                    first = Path(case.model_dir) / "test_data_set_0"
                    inputs, outputs = (_read(first, side) for side in ("input", "output"))
                    given = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
                    yield kind, case, model, *_placed(model, inputs, outputs, given)


def _read(folder: Path, side: str) -> list[Any]:
    import onnx

    return [
        onnx.numpy_helper.to_array(onnx.load_tensor(folder / f"{side}_{i}.pb"))
        for i in range(len(list(folder.glob(f"{side}_*.pb"))))
    ]


def _placed(model: Any, inputs: list[Any], outputs: list[Any], given: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs at the places that the operator has for them; None for one left out."""
    fed = [each.name for each in model.graph.input if each.name not in given]
    named = given | dict(zip(fed, inputs, strict=False))
    node = model.graph.node[0]
    takes = node.input if len(model.graph.node) == 1 else [*fed, *given]
    gives = dict(zip([each.name for each in model.graph.output], outputs, strict=False))
    ours = node.output if len(model.graph.node) == 1 else list(gives)
    return [_array(named.get(each)) for each in takes], [_array(gives.get(each)) for each in ours]


def _array(value: Any) -> Any:
    return None if value is None or isinstance(value, list) else np.asarray(value)


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in values.items()}


def collect() -> None:
    """Write cases.json and cases.npz."""
    import onnx

    entries, kept, expanded = [], {}, 0
    for fields, inputs, outputs in found():
        size = sum(each.nbytes for each in (*inputs, *outputs) if each is not None)
        keys = None
        if size <= LARGEST and all(each is None or each.dtype.kind in "biuf" for each in (*inputs, *outputs)):
            keys = [[_key(each, kept) for each in side] for side in (inputs, outputs)]
        entries.append(fields | {"keys": keys})
    names = {each["name"] for each in entries}
    expanded = _expanded(names)
    about = {"onnx": onnx.__version__, "expanded": expanded}
    lines = ",\n".join(json.dumps(each) for each in sorted(entries, key=lambda each: (each["ops"], each["name"])))
    text = f'{{"about": {json.dumps(about)}, "cases": [\n{lines}\n]}}\n'
    (HERE / "cases.json").write_text(text, encoding="utf-8")
    np.savez_compressed(HERE / "cases.npz", **kept)
    print(f"{len(entries)} cases, {len(kept)} arrays, {expanded} expanded")


def _key(array: Any, kept: dict[str, Any]) -> str | None:
    if array is None:
        return None
    key = hashlib.sha256(repr((array.shape, str(array.dtype))).encode() + array.tobytes()).hexdigest()[:12]
    kept[key] = array
    return key


def _expanded(names: set[str]) -> int:
    """How many cases are one of `names` spelled out; their numbers are compared."""
    from onnx.backend.test import loader

    data = {each.name: each.data_sets[0] for each in loader.load_model_tests(kind="node")}
    others = [name for name in data if "_expanded" in name and name.split("_expanded")[0] in names]
    for name in others:
        for one, two in zip(data[name], data[name.split("_expanded")[0]], strict=True):
            for a, b in zip(one, two, strict=True):
                np.testing.assert_array_equal(a, b)
    return len(others)


if __name__ == "__main__":
    collect()
