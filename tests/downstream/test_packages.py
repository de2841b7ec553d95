"""The example packages of the last release, unchanged, work with this version (the promise of ``mftkit.API_VERSION``)."""

from __future__ import annotations

import os
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

from forked import pytest_forked
from mftkit.plugins import hookspecs, installed, kinds
from mftkit_registry import Registry, find_kind

RELEASE = Path(__file__).parent / "packages-0.1"
PACKAGES = sorted(path for path in RELEASE.iterdir() if path.is_dir())
COMPONENTS = {
    "mftkit-gpt2": {"gpt2"},
    "mftkit-next-fit": {"next-fit"},
    "mftkit-token-square": {"token-square"},
    "mftkit-torchjd": {"upgrad", "mgda", "aligned-mtl", "cagrad", "imtl-g", "pcgrad"},
}


TIMELESS = "test_a_run_trains_an_adapter_and_goes_on_as_if_it_had_not_stopped"
"""It compares all keys of two runs' metrics.jsonl but ``tokens_per_second``; there are more keys of the clock now. The
package's present tests hold the same test for all of them."""


def install_metadata(site: Path) -> list[Path]:
    """The packages as an editable installation has them: metadata in ``site``, sources where they are."""
    for package in PACKAGES:
        project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
        metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        metadata.mkdir()
        requires = "".join(f"Requires-Dist: {line}\n" for line in project["dependencies"])
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}"
        )
        points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["mft"].items())
        (metadata / "entry_points.txt").write_text(f"[mft]\n{points}")
    return [site, *PACKAGES]


def test_they_are_listed_and_load_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in install_metadata(tmp_path):
        monkeypatch.syspath_prepend(str(path))
    before = set(sys.modules)
    try:
        loaded = Registry.load(kinds.KINDS, [hookspecs])
        strangers = [
            row for row in loaded.plugins if row.distribution in {package.name for package in PACKAGES}
        ]
        assert {row.distribution for row in strangers} == {package.name for package in PACKAGES}
        assert [(row.name, row.error) for row in strangers if row.status != "ok"] == []
        assert loaded.warnings == []
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            for row in strangers:
                if row.kind != "callbacks":
                    installed.class_of(loaded.get(find_kind(kinds.KINDS, row.kind), row.name))
        for name, components in COMPONENTS.items():
            assert {row.name for row in strangers if row.distribution == name} >= components, name
    finally:
        for module in set(sys.modules) - before:
            if (getattr(sys.modules[module], "__file__", None) or "").startswith(str(RELEASE)):
                del sys.modules[module]


@pytest.mark.long
def test_their_own_tests_pass(tmp_path: Path) -> None:
    arguments = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", str(tmp_path)]
    arguments += [
        "--confcutdir",
        str(RELEASE),
    ]  # without the conftest.py that hides these tests from the suite itself
    arguments += [
        "-c",
        os.devnull,
        "-k",
        f"not {TIMELESS}",
        *(str(package / "tests") for package in PACKAGES),
    ]
    done = pytest_forked(arguments, cwd=tmp_path, sites=install_metadata(tmp_path))
    assert done.returncode == 0, done.stdout[-4000:]
