"""install.sh with the real pip, on wheels made here; and, over the network, this repository itself."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tools.ci.github import ACTION, machine

SCRIPT = ACTION.parents[1] / "install.sh"
CODE = "import sys\ndef main():\n    print('stand-in', *sys.argv[1:])\n"


def wheel(folder: Path, name: str, version: str) -> Path:
    """A package of that name whose command of that name prints its arguments."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}_stand_in.py": CODE,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}_stand_in:main\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
    return path


def install(folder: Path, **settings: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", SCRIPT],  # noqa: S607
        cwd=folder,
        env=machine(RUNNER_TEMP=str(folder / "runner temp"), NATONNX_PYTHON=sys.executable, **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def freeze(folder: Path) -> list[str]:
    python = folder / "runner temp/natonnx-environment/bin/python"
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    return [line for line in listed.stdout.splitlines() if line.startswith(("natonnx", "torch", "more"))]


def offline(**more: str) -> dict[str, str]:
    return {"PIP_CONFIG_FILE": "/dev/null", "PYTHONPATH": "", **more}


@pytest.mark.slow
def test_torch_comes_first_and_from_its_own_index(tmp_path: Path) -> None:
    index = tmp_path / "an index"
    (index / "torch").mkdir(parents=True)
    names = [wheel(index / "torch", "torch", version).name for version in ("2.3", "2.5", "99.0")]
    links = "".join(f'<a href="{name}">{name}</a>\n' for name in names)
    (index / "torch/index.html").write_text(links, encoding="utf-8")
    wheel(tmp_path, "more", "1.0")
    path = wheel(tmp_path, "natonnx", "9.9")
    packages = f"--no-index\n\n  --find-links={tmp_path}\nmore"
    code, log = install(
        tmp_path,
        **offline(NATONNX_INSTALL=path.name, NATONNX_PACKAGES=packages, NATONNX_TORCH_INDEX=index.as_uri()),
    )
    assert code == 0, log
    assert log.splitlines()[-1] == "stand-in --version"
    assert freeze(tmp_path) == ["more==1.0", "natonnx==9.9", "torch==2.5"]


@pytest.mark.slow
def test_a_requirement_is_no_command_and_no_option(tmp_path: Path) -> None:
    for hostile in ("--help", "$(touch pwned)", "; touch pwned"):
        code, log = install(tmp_path, **offline(NATONNX_INSTALL=hostile, NATONNX_PACKAGES="--no-index"))
        assert code != 0, log
    assert not any(tmp_path.rglob("pwned"))


def test_none_installs_nothing(tmp_path: Path) -> None:
    assert install(tmp_path, NATONNX_INSTALL="none", NATONNX_TORCH_INDEX="file:///nowhere") == (0, "")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_the_copy_that_the_script_belongs_to(tmp_path: Path) -> None:
    """Without its dependencies but click, which is all that --version takes."""
    code, log = install(tmp_path, NATONNX_PACKAGES="--no-deps\nclick", PYTHONPATH="")
    assert code == 0, log
    assert log.splitlines()[-1].startswith("natonnx ")
    (found,) = freeze(tmp_path)
    assert found.startswith(("natonnx ", "natonnx=="))
