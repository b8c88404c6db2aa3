# SPDX-License-Identifier: BSD-2-Clause
"""Examples that are slow because a machine is busy are no failures."""

from hypothesis import settings

settings.register_profile("demo", max_examples=30, deadline=None)
settings.load_profile("demo")
