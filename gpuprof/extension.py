"""The extension, loaded and unloaded: the magics registered, and what they took the place of handed back."""

from __future__ import annotations

from typing import Any

from gpuprof.magics import GpuprofMagics

_MAGICS = {"line": ("gpu_timeit", "gpu_info", "layertime"), "cell": ("gpu_timeit", "layertime")}
_SIGNS = (("line", "%"), ("cell", "%%"))
_replaced: dict[tuple[str, str], Any] = {}


def load(shell: Any) -> None:
    """Register the magics; say so where one takes another's place (CuPy has a %gpu_timeit too)."""
    magics = shell.magics_manager.magics
    if _is_ours(magics["cell"].get("layertime")):
        return  # loaded already
    _replaced.clear()
    for kind, names in _MAGICS.items():
        _replaced.update({(kind, name): magics[kind][name] for name in names if name in magics[kind]})
    for name in dict.fromkeys(name for _, name in _replaced):
        sign, magic = next((sign, _replaced[kind, name]) for kind, sign in _SIGNS if (kind, name) in _replaced)
        home = getattr(magic, "__module__", None) or "another extension"
        print(f"gpuprof: {sign}{name} takes the place of {home}'s; %unload_ext gpuprof hands it back")
    shell.register_magics(GpuprofMagics)


def unload(shell: Any) -> None:
    """Take the magics away, and put back what they replaced."""
    magics = shell.magics_manager.magics
    for kind, names in _MAGICS.items():
        for name in names:
            if _is_ours(magics[kind].get(name)):
                del magics[kind][name]
    for (kind, name), magic in _replaced.items():
        magics[kind][name] = magic
    _replaced.clear()
    shell.magics_manager.registry.pop("GpuprofMagics", None)


def _is_ours(magic: Any) -> bool:
    return isinstance(getattr(magic, "__self__", None), GpuprofMagics)
