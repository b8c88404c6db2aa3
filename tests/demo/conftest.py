# SPDX-License-Identifier: BSD-2-Clause
"""Settings of these tests, whatever shell they are started from."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

settings.register_profile("demo", max_examples=30, deadline=None)
settings.load_profile("demo")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts a job in the background with Ctrl-C ignored, and tests of Ctrl-C would wait.
    signal.signal(signal.SIGINT, signal.default_int_handler)
