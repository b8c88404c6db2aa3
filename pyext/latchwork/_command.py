# SPDX-License-Identifier: BSD-2-Clause
"""Standard output and standard error of the command line: either may be closed, or full."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class OutputError(Exception):
    """A result cannot be written, after all; the text says why."""


@contextmanager
def standard_output() -> Iterator[None]:
    """Has what is printed inside written when it ends.

    OutputError if that cannot be, BrokenPipeError if nobody reads it.
    """
    try:
        with _written(sys.stdout):
            yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror or error}") from None


def complain(text: str) -> None:
    """Print to standard error, if that can be."""
    with suppress(OSError), _written(sys.stderr):
        if sys.stderr is not None:
            print(text, file=sys.stderr)


@contextmanager
def _written(stream: TextIO | None) -> Iterator[None]:
    try:
        yield
        if stream is not None:  # a closed one
            stream.flush()
    except OSError:
        # The rest is still in the buffer: on exit it would fail again.
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


class Parser(argparse.ArgumentParser):
    """Its help is output like any other."""

    def print_help(self, file: Any = None) -> None:
        if file is None:
            with standard_output():
                print(self.format_help(), end="")
        else:
            super().print_help(file)
