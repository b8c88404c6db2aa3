# SPDX-License-Identifier: BSD-2-Clause
"""For every folder of tests: the same, whatever shell starts them."""

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts a job in the background with Ctrl-C ignored, and tests of Ctrl-C would wait.
    signal.signal(signal.SIGINT, signal.default_int_handler)
