"""An IPython shell for the tests of the magics; the fixture that gpuprof.testing offers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gpuprof.testing import FakeClock, layer_profile  # noqa: F401 - the fixture

from .models import FakeModel


@pytest.fixture
def ip() -> Iterator[InteractiveShell]:
    """An IPython of its own with the extension loaded; what it displays is in `ip.display_pub.outputs`."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.display_pub = CapturingDisplayPublisher()
    shell.extension_manager.load_extension("gpuprof")
    shell.user_ns["lm"] = FakeModel(FakeClock())
    yield shell
    shell.extension_manager.unload_extension("gpuprof")
    InteractiveShell.clear_instance()
