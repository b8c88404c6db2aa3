"""Debian packages: which are missing, how to install them, where the mirror is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .common import ROOT, Progress, ToolError, cache_dir, reason, run_logged, say


def package_lists() -> dict[str, dict[str, list[str]]]:
    with (ROOT / "tools" / "packages.toml").open("rb") as handle:
        return tomllib.load(handle)


def packages_for(purposes: Iterable[str]) -> list[str]:
    lists = package_lists()["apt"]
    return sorted({name for purpose in purposes for name in lists[purpose]})


def missing(names: Iterable[str]) -> list[str]:
    names = sorted(set(names))
    if not names or not shutil.which("dpkg-query"):
        return []
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = set()
    for line in answer.stdout.splitlines():
        status, _, name = line.partition(" ")
        if status == "installed":
            installed.add(name)
    return [name for name in names if name not in installed]


def privilege() -> list[str] | None:
    """The words to put before a command that needs root, or None where there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    if subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return [sudo] if sys.stdin.isatty() else None


def ensure(purposes: Iterable[str]) -> None:
    """Install what is missing; without the right to, say in one line what to ask for."""
    purposes = list(purposes)
    wanted = missing(packages_for(purposes))
    if not wanted:
        if not shutil.which("dpkg-query"):
            say(
                "This is no Debian system; these packages, or their like, are taken to be here: "
                + " ".join(packages_for(purposes))
            )
        return
    prefix = privilege()
    if prefix is None:
        raise ToolError(f"packages are missing; ask for: apt-get install {' '.join(wanted)}")
    say(f"Installing with apt, system-wide: {' '.join(wanted)}")
    log = cache_dir() / "logs" / "apt.log"
    log.unlink(missing_ok=True)
    if prefix and "-n" not in prefix:
        # The password prompt needs the terminal; a logged command has none.
        subprocess.run([*prefix, "-v"], check=False)
        prefix = [*prefix, "-n"]
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    progress = Progress("apt")
    for phase, command in (
        ("update", ["apt-get", "-q", "update"]),
        ("install", ["apt-get", "-q", "-y", "install", "--no-install-recommends", *wanted]),
    ):
        progress.tick(phase)
        if run_logged([*prefix, *environment, *command], log, progress) != 0 and phase != "update":
            progress.done("failed")
            raise ToolError(f"apt-get {phase} failed: {reason(log)} (log: {log})")
    progress.done(f"{len(wanted)} packages installed")


@dataclass
class Source:
    """One entry of the system's apt sources, in deb822 terms."""

    uri: str
    suite: str
    components: list[str]
    signed_by: str = ""
    options: dict[str, str] = field(default_factory=dict)


def _one_line_entries(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<rest>[^#]+)", line)
        if not match:
            continue
        words = match["rest"].split()
        if len(words) < 2:
            continue
        pairs = dict(pair.split("=", 1) for pair in (match["options"] or "").split() if "=" in pair)
        yield Source(words[0], words[1], words[2:], pairs.get("signed-by", ""))


def _deb822_entries(text: str) -> Iterator[Source]:
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and name:
                fields[name] += "\n" + line
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(
                    uri, suite, fields.get("components", "").split(), fields.get("signed-by", "")
                )


def system_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    found: list[Source] = []
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        if file.suffix == ".list":
            found.extend(_one_line_entries(text))
        elif file.suffix == ".sources":
            found.extend(_deb822_entries(text))
    return found


def debian_mirror(etc: Path = Path("/etc/apt"), os_release: Path | None = None) -> Source:
    """The system's own Debian mirror: the entry that carries the release itself."""
    words: dict[str, str] = {}
    try:
        text = (os_release or Path("/etc/os-release")).read_text()
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        words[name] = value.strip('"')
    suites = {words.get("VERSION_CODENAME", ""), "stable", "oldstable", "testing", "unstable"}
    if words.get("ID") != "debian":
        raise ToolError("this system is not Debian, so its apt sources have no Debian mirror")
    for source in system_sources(etc):
        if (
            source.suite in suites
            and "main" in source.components
            and not source.uri.startswith("cdrom:")
        ):
            return source
    raise ToolError("the system's apt sources name no Debian mirror")


def fetch_source_tarball(
    name: str, suite: str, folder: Path, log: Path, progress: Progress
) -> Path:
    """The upstream tarball of a source package of another release, verified by apt.

    Sources, lists and caches are private to the folder, so the system's apt state stays as it is.
    """
    mirror = debian_mirror()
    private = folder / "apt"
    for part in ("lists/partial", "archives/partial", "parts"):
        (private / part).mkdir(parents=True, exist_ok=True)
    lines = [
        "Types: deb-src",
        f"URIs: {mirror.uri}",
        f"Suites: {suite}",
        "Components: main",
    ]
    if mirror.signed_by:
        lines.append(f"Signed-By: {mirror.signed_by}")
    (private / "parts" / "private.sources").write_text("\n".join(lines) + "\n")
    options = [
        "-q",
        f"-oDir::Etc::SourceList={private / 'none'}",
        f"-oDir::Etc::SourceParts={private / 'parts'}",
        f"-oDir::State::Lists={private / 'lists'}",
        f"-oDir::Cache={private}",
        f"-oDir::Cache::Archives={private / 'archives'}",
        "-oAcquire::Languages=none",
        "-oAcquire::Retries=2",
        "-oAPT::Update::Error-Mode=any",
    ]
    if os.geteuid() == 0:
        # apt's download user may not enter a cache in a home folder.
        options.append("-oAPT::Sandbox::User=root")
    for phase, command in (
        ("read the package index", ["apt-get", *options, "update"]),
        ("download", ["apt-get", *options, "source", "--download-only", "--tar-only", name]),
    ):
        progress.tick(phase)
        if run_logged(command, log, progress, cwd=folder) != 0:
            raise ToolError(f"cannot download the source package {name} of {suite}: {reason(log)}")
    tarballs = sorted(folder.glob(f"{name}_*.orig.tar.*"))
    tarballs = [file for file in tarballs if not file.name.endswith(".asc")]
    if not tarballs:
        raise ToolError(f"the source package {name} of {suite} has no upstream tarball")
    return tarballs[-1]
