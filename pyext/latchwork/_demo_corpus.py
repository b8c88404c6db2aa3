"""The text that the demo indexes: read once, kept in memory, the same bytes for every engine."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

# An identifier is a run of letters, digits and underscores that does not begin with a digit; every
# byte from 128 on is a letter, as in CPython's own tokenizer. A number is consumed whole and gives
# an empty group, so that the "x1f" of "0x1f" is no identifier. examples/wordindex does so in C.
IDENTIFIER = re.compile(rb"[0-9][0-9A-Za-z_\x80-\xff]*|([A-Za-z_\x80-\xff][0-9A-Za-z_\x80-\xff]*)")

BINARY = "binary"
NOT_UTF8 = "not UTF-8"
UNREADABLE = "unreadable"
LINK = "symbolic link, not followed"
SPECIAL = "neither file nor directory"
LEFT_OUT = "directory left out"
OWN = "written by this run"

# Caches and the stores of version control: no source, or a second copy of it.
LEFT_OUT_NAMES = frozenset({"__pycache__", ".git", ".hg", ".svn"})
# Beside the standard library, but no part of it.
LEFT_OUT_OF_STDLIB = frozenset({"site-packages", "dist-packages"})

_HEAD = 8192
_PIECE = 1 << 20  # read() reserves what it is asked for, and --limit may be more than there is


class InputError(Exception):
    """What the user named cannot be indexed; the text says why."""


@dataclass
class Corpus:
    """Every text file under a path, and what was skipped there, by reason."""

    path: str
    texts: list[bytes] = field(default_factory=list)
    size: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, reason: str, name: str) -> None:
        self.skipped.setdefault(reason, []).append(name)


def printable(name: str | bytes) -> str:
    """A path or a word as text that is safe on a terminal, whatever bytes are in it."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason_of(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def read_corpus(
    path: str,
    *,
    limit: int,
    leave_out: frozenset[str] = frozenset(),
    own: frozenset[tuple[int, int]] = frozenset(),
    on_file: Callable[[Corpus], None] = lambda _: None,
) -> Corpus:
    """Read the file, or every regular file of the tree, at `path`, but those whose device and inode
    are in `own`.

    Raises InputError if `path` cannot be read, has no text, or has more than `limit` bytes of it.
    """
    corpus = Corpus(path)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {printable(path)}: {reason_of(error)}") from None
    if stat.S_ISREG(mode):
        _read_file(corpus, path, printable(path), limit, own)
    elif stat.S_ISDIR(mode):
        _read_tree(corpus, path, limit, LEFT_OUT_NAMES | leave_out, own, on_file)
    else:
        raise InputError(f"{printable(path)} is {SPECIAL}")
    if not corpus.texts:
        skips = "; ".join(skip_lines(corpus)) or "it holds no file"
        raise InputError(f"nothing to index in {printable(path)}: {skips}")
    return corpus


def _read_tree(
    corpus: Corpus,
    top: str,
    limit: int,
    leave_out: frozenset[str],
    own: frozenset[tuple[int, int]],
    on_file: Callable[[Corpus], None],
) -> None:
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            name = printable(os.path.relpath(folder, top))
            corpus.skip(UNREADABLE, f"{name}: {reason_of(error)}")
            continue
        below = []
        for entry in found:
            name = printable(os.path.relpath(entry.path, top))
            if entry.is_symlink():
                corpus.skip(LINK, name)
            elif entry.is_dir(follow_symlinks=False):
                if entry.name in leave_out:
                    corpus.skip(LEFT_OUT, name)
                else:
                    below.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                _read_file(corpus, entry.path, name, limit, own)
                on_file(corpus)
            else:
                corpus.skip(SPECIAL, name)
        folders.extend(reversed(below))


def _read_file(
    corpus: Corpus, path: str, name: str, limit: int, own: frozenset[tuple[int, int]]
) -> None:
    room = limit - corpus.size
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if (status.st_dev, status.st_ino) in own:
                corpus.skip(OWN, name)
                return
            # Large binary files are told by their head, and not read further.
            pieces = [file.read(_HEAD)]
            size = len(pieces[0])
            while pieces[-1] and size <= room and b"\0" not in pieces[0]:
                pieces.append(file.read(_PIECE))
                size += len(pieces[-1])
    except OSError as error:
        corpus.skip(UNREADABLE, f"{name}: {reason_of(error)}")
        return
    text = b"".join(pieces)
    if b"\0" in text:
        corpus.skip(BINARY, name)
        return
    if len(text) > room:
        raise InputError(
            f"{printable(corpus.path)} holds more than {limit / 2**20:g} MiB of text, and the demo "
            "keeps it in memory; name a smaller tree, or allow more with --limit MIB"
        )
    try:
        codecs.utf_8_decode(text, "strict", True)
    except UnicodeDecodeError as error:
        corpus.skip(NOT_UTF8, f"{name}: byte {error.start}")
        return
    corpus.texts.append(text.removeprefix(codecs.BOM_UTF8))
    corpus.size += len(text)


def skip_lines(corpus: Corpus, names: int = 3) -> list[str]:
    """A line for each reason: how many, and the first of them by name."""
    lines = []
    for reason, skipped in sorted(corpus.skipped.items()):
        more = f", and {len(skipped) - names} more" if len(skipped) > names else ""
        lines.append(f"{len(skipped)} {reason} ({', '.join(skipped[:names])}{more})")
    return lines
