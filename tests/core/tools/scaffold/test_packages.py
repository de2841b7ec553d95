"""``mft plugins new``."""

import tomllib
from pathlib import Path

import pytest

import mftkit
from forked import pytest_forked
from mftkit import MftError
from mftkit.plugins import kinds
from mftkit.plugins.component_kind import ComponentKind
from mftkit.tools.scaffold import new_package, packages


@pytest.mark.long
def test_the_package_of_every_kind_passes_its_own_tests(tmp_path: Path) -> None:
    written = [
        new_package(f"my-{kind}", kind, tmp_path / kind).directory
        for kind in (known.name for known in kinds.KINDS)
    ]
    tests = [str(directory / "tests") for directory in written]
    arguments = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", str(tmp_path)]
    arguments += ["-W", "error::mftkit.testing.ConformanceWarning", *tests]
    done = pytest_forked(arguments, cwd=tmp_path, sites=written)
    assert done.returncode == 0, done.stdout[-4000:]
    for directory in written:
        assert f"test_my_{directory.name.replace('-', '_')}.py" in "".join(
            file.name for file in (directory / "tests").iterdir()
        )


def test_one_package_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = new_package("token-cube", "Losses")
    assert str(made.directory) == "mft-token-cube"
    project = tomllib.loads((tmp_path / "mft-token-cube" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "mft-token-cube"
    assert project["project"]["entry-points"]["mft"] == {"token-cube": "mft_token_cube"}
    source = (made.directory / made.module).read_text()
    assert "class TokenCubeLoss(mftkit.Loss):" in source
    assert "{{" not in "".join(file.read_text() for file in made.directory.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("name", "kind", "meant"),
    [
        ("TokenCube", "loss", "token-cube"),
        ("token_cube", "loss", "token-cube"),
        ("Très grand!", "loss", "tres-grand"),
        ("3d", "loss", "my-3d"),
        ("", "loss", "my-loss"),
        ("../up", "loss", "up"),
        ("auto", "model-adapter", "my-auto"),
        ("x" * 60, "loss", "x" * 50),
    ],
)
def test_a_name_that_is_none_is_reported_with_the_nearest_that_is_one(
    name: str, kind: str, meant: str, tmp_path: Path
) -> None:
    with pytest.raises(MftError, match=f'did you mean "{meant}"'):
        new_package(name, kind, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    new_package(meant, kind, tmp_path / "new")


@pytest.mark.parametrize("name", ["equal", "losses"])
def test_a_name_that_is_taken_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(MftError, match=f'"{name}" is already the name of .* of mftkit'):
        new_package(name, "loss", tmp_path / "new")


def test_a_package_that_can_be_imported_is_not_shadowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mft_there.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MftError, match='the package would be named "mft_there"'):
        new_package("there", "loss", tmp_path / "new")


def test_a_directory_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path, tmp_path / "file"):
        with pytest.raises(MftError, match="already exists"):
            new_package("token-cube", "loss", target)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(MftError, match="cannot write"):
        new_package("token-cube", "loss", tmp_path / "file" / "new")


def test_a_kind_without_a_template_is_reported_with_those_that_have_one() -> None:
    with pytest.raises(MftError, match='no template for colour; known: "balancer", .*"tuning"'):
        packages._templates(ComponentKind("colour", mftkit.Component, place="colour"))
    with pytest.raises(MftError, match='unknown kind of component "los"'):
        new_package("token-cube", "los")
