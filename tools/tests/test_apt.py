"""The mirror is read from the system's own apt sources, in either format."""

from pathlib import Path

import pytest
from lwtools import apt
from lwtools.common import ToolError

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://one.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://two.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://three.example/debian
Suites: bookworm-updates bookworm
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""

ONE_LINE = """\
# deb http://zero.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://four.example/debian bookworm main # x
deb-src http://five.example/debian bookworm main
"""


def system(folder: Path, distribution: str = "debian") -> tuple[Path, Path]:
    (folder / "sources.list.d").mkdir()
    release = folder / "os-release"
    release.write_text(f'NAME="X"\nID={distribution}\nVERSION_CODENAME=bookworm\n')
    return folder, release


def test_deb822(tmp_path: Path) -> None:
    etc, release = system(tmp_path)
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    mirror = apt.debian_mirror(etc, release)
    assert mirror.uri == "http://three.example/debian"
    assert mirror.signed_by.splitlines()[2] == " ."


def test_one_line_format(tmp_path: Path) -> None:
    etc, release = system(tmp_path)
    (etc / "sources.list").write_text(ONE_LINE)
    mirror = apt.debian_mirror(etc, release)
    assert mirror.uri == "http://four.example/debian"
    assert mirror.signed_by == "/usr/share/keyrings/k.gpg"


def test_no_mirror_is_an_error_of_one_line(tmp_path: Path) -> None:
    etc, release = system(tmp_path)
    with pytest.raises(ToolError, match="name no Debian mirror"):
        apt.debian_mirror(etc, release)


def test_another_distribution_is_an_error(tmp_path: Path) -> None:
    etc, release = system(tmp_path, "ubuntu")
    with pytest.raises(ToolError, match="not Debian"):
        apt.debian_mirror(etc, release)


def test_missing_names_only_what_is_not_installed() -> None:
    assert apt.missing(["no-such-package-of-any-kind", "dpkg"]) == ["no-such-package-of-any-kind"]


def test_every_purpose_has_its_packages() -> None:
    from lwtools import setup

    for purposes in setup.APT_PURPOSES.values():
        assert apt.packages_for(purposes)
