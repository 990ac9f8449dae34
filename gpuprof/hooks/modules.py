"""PyTorch's modules, told from other objects and found with their paths; PyTorch is not imported for it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

COMPILED_IN_PLACE = "_compiled_call_impl"
"""What is called in place of `forward`, on a module that has been compiled in place."""


def is_module(value: object) -> bool:
    """Whether it is a `torch.nn.Module`."""
    module = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
    return isinstance(module, type) and isinstance(value, module)


def of_torch(value: object) -> bool:
    """Whether its class, or one above that, is PyTorch's."""
    return any(base.__module__.partition(".")[0] == "torch" for base in type(value).__mro__)


def modules_in(root: Any, path: str, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """`root` and the modules inside that can be called, each once, with their paths, as `named_modules()` has them.

    `path` is the root's own; those inside begin with `prefix`. What is inside of one that runs as a whole is left out,
    and so is what has been `seen`.
    """
    if id(root) in seen:
        return
    seen.add(id(root))
    if _callable(root):
        yield path, root
    if not whole(root):
        for name, child in root.named_children():
            yield from modules_in(child, prefix + name, f"{prefix}{name}.", seen)


def attribute_of(module: Any) -> str:
    """The attribute that is looked up on a module when it is called."""
    return COMPILED_IN_PLACE if vars(module).get(COMPILED_IN_PLACE) is not None else "forward"


def whole(module: Any) -> str:
    """What has made a module run as a whole, without calls of the modules inside; "" where they are called."""
    torch: Any = sys.modules["torch"]
    compiled: Any = getattr(sys.modules.get("torch._dynamo.eval_frame"), "OptimizedModule", ())
    if isinstance(module, compiled) or attribute_of(module) != "forward":
        return "torch.compile"
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript"
    several = isinstance(module, torch.nn.DataParallel) and len(module.device_ids) > 1
    return "DataParallel" if several else ""


def devices_of(modules: Iterable[Any]) -> set[str]:
    """The kinds and numbers of the devices on which modules hold parameters and buffers, such as "cuda:0"."""
    held = (tensor for module in modules for tensor in _held(module))
    return {str(tensor.device) for tensor in held}


def on_host(layers: Iterable[Any]) -> bool:
    """Whether there are modules among some layers, which hold something, and none of it on a GPU."""
    devices = devices_of(layer for layer in layers if is_module(layer))
    return bool(devices) and not any(device.startswith("cuda") for device in devices)


def device_of(module: Any) -> int | None:
    """The number of the GPU on which a module, or what is inside, holds its first parameter or buffer."""
    held = (tensor for each in module.modules() for tensor in _held(each))
    first = next(held, None)
    return first.device.index if first is not None and first.is_cuda else None


def learned(module: Any) -> int:
    """How many parameters a module itself learns."""
    return sum(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _held(module: Any) -> Iterator[Any]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def _callable(module: Any) -> bool:
    """Whether it has a forward of its own: lists and dicts of modules have none."""
    unwritten = sys.modules["torch"].nn.Module.forward
    return "forward" in vars(module) or type(module).forward is not unwritten
