"""What is installed, against what natonnx asks for: in folders that pip might have left."""

import sys
from pathlib import Path

import packaging.requirements
import packaging.specifiers  # noqa: F401
import pytest

import natonnx
from natonnx import __version__
from natonnx.contract.doctor import Finding
from natonnx.verbs.doctor.packages import find_packages, wanted

ASKS = (
    "alpha>=2,<3",
    "beta; python_version >= '3'",
    "gamma; python_version < '3'",
    "delta; extra == 'test'",
    "onnxruntime-gpu>=1.20; python_version >= '3'",
    "onnxruntime>=1.20; python_version < '3'",
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where packages can be: natonnx is in it."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    put(tmp_path, "natonnx", __version__, "Requires-Python: >=3.11", *(f"Requires-Dist: {line}" for line in ASKS))
    return tmp_path


def put(site: Path, name: str, version: str, *lines: str, files: tuple[str, ...] = ()) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    text = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines])
    (info / "METADATA").write_text(f"{text}\n", encoding="utf-8")
    if files:
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files), encoding="utf-8")


def runtime(site: Path, name: str, version: str = "1.31.1", *, gone: int = 0) -> None:
    """Put a build of onnxruntime there; pip deleted some of its files as it uninstalled another build."""
    files = ("onnxruntime/__init__.py", "onnxruntime/capi/a.so", "onnxruntime/capi/b.so")
    put(site, name, version, files=files)
    for file in files[gone:]:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).touch()


def found(name: str) -> Finding:
    (row,) = (each for each in find_packages(wanted()) if each["name"] == name)
    return row


def test_what_is_asked_for(site: Path) -> None:
    """By this system, without extras."""
    assert [(each.name, each.versions) for each in wanted()] == [
        ("alpha", "<3,>=2"),
        ("beta", ""),
        ("onnxruntime-gpu", ">=1.20"),
    ]
    assert site.exists()


def test_without_packaging(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No condition and no version can be judged then."""
    for name in [name for name in sys.modules if name.split(".")[0] == "packaging"]:
        monkeypatch.delitem(sys.modules, name)
    put(site, "alpha", "7.0")
    assert [each.name for each in wanted()] == ["alpha"]
    assert found("alpha")["mark"] == "ok"


@pytest.mark.parametrize(
    ("version", "mark"),
    [("2.0", "ok"), ("2.13.0+cpu", "ok"), ("2.9rc1", "ok"), ("3.0", "broken"), ("1.9", "broken")],
)
def test_versions(version: str, mark: str, site: Path) -> None:
    put(site, "alpha", version)
    row = found("alpha")
    assert row["mark"] == mark
    assert row["remedy"] == (None if mark == "ok" else 'pip install "alpha<3,>=2"')
    assert found("beta") == {**row, "name": "beta", "mark": "missing", "detail": "not installed"} | {
        "remedy": 'pip install "beta"'
    }


def test_one_build_of_onnxruntime(site: Path) -> None:
    runtime(site, "onnxruntime-gpu")
    assert (found("onnxruntime-gpu")["mark"], found("onnxruntime-gpu")["detail"]) == ("ok", "1.31.1")


def test_another_build_serves_too(site: Path) -> None:
    runtime(site, "onnxruntime")
    assert found("onnxruntime")["mark"] == "ok"


def test_an_old_build(site: Path) -> None:
    runtime(site, "onnxruntime", "1.19.2")
    row = found("onnxruntime")
    assert (row["mark"], row["detail"]) == ("broken", "1.19.2; natonnx asks for >=1.20")


def test_two_builds(site: Path) -> None:
    runtime(site, "onnxruntime")
    runtime(site, "onnxruntime-gpu", "1.30.0")
    runtime(site, "onnxruntime-extensions")  # as if it had files there
    (site / "onnxruntime_extensions-1.31.1.dist-info" / "RECORD").write_text("onnxruntime_extensions/a.py,,\n")
    (site / "cut_short-1.0.dist-info").mkdir()
    row = found("onnxruntime")
    assert row["mark"] == "broken"
    assert {*row["detail"].removesuffix(" overwrite each other's files").split(" and ")} == {
        *("onnxruntime 1.31.1", "onnxruntime-gpu 1.30.0")
    }
    assert row["remedy"] is not None
    assert row["remedy"].endswith('&& pip install --force-reinstall --no-deps "onnxruntime-gpu>=1.20"')


def test_after_the_other_build_was_uninstalled(site: Path) -> None:
    runtime(site, "onnxruntime-gpu", gone=2)
    row = found("onnxruntime")
    assert row["mark"] == "broken"
    assert "2 of its 3 files are gone" in row["detail"]


def test_after_both_were_uninstalled(site: Path) -> None:
    assert found("onnxruntime")["mark"] == "missing"
    (site / "onnxruntime").mkdir()
    row = found("onnxruntime")
    assert row["mark"] == "broken"
    assert row["remedy"] == f'delete {site / "onnxruntime"}, then pip install "onnxruntime-gpu>=1.20"'


@pytest.mark.parametrize(("asked", "mark"), [(">=3.11", "ok"), (">=3.90", "broken")])
def test_python(asked: str, mark: str, site: Path) -> None:
    metadata = site / f"natonnx-{__version__}.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace(">=3.11", asked))
    assert found("python")["mark"] == mark


def test_natonnx_itself(site: Path) -> None:
    assert found("natonnx")["mark"] == "ok"
    info = site / f"natonnx-{__version__}.dist-info"
    (info / "METADATA").write_text((info / "METADATA").read_text().replace(f"Version: {__version__}", "Version: 0.0.7"))
    assert "hides 0.0.7" in found("natonnx")["detail"]


def test_natonnx_that_is_not_installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's own pyproject.toml says what it asks for, if there is one and it is natonnx's."""
    (site / f"natonnx-{__version__}.dist-info").rename(site / "elsewhere")
    assert found("natonnx")["mark"] == "missing"
    assert {"torch", "numpy"} < {each.name for each in wanted()}
    monkeypatch.setattr(natonnx, "__file__", str(site / "natonnx" / "__init__.py"))
    assert wanted() == []
    (site / "pyproject.toml").write_text("[project]\nname = 'other'\ndependencies = ['torch']\n", encoding="utf-8")
    assert wanted() == []
