"""The checks of docs/install.md; see `checks`."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import says, writes

__all__ = ["INSTALL_CHECKS"]

_INSTALLS = "installs gigabytes"
_ON_PATH = "installs for whoever runs it"
_DOCKER = "takes Docker's engine; tests/tools/ci/test_container.py lints the file"
_WINDOWS = "takes Windows"
_IN_CONTAINER = (
    'docker run --rm {}--user "$(id -u):$(id -g)" --volume "$PWD:/work" {} optimize models/resnet20-fashion.onnx {}'
)
_BUILD = "docker build --file tools/ci/container/Dockerfile"

INSTALL_CHECKS: tuple[Check, ...] = (
    Check(
        "python3 -m venv .venv && .venv/bin/pip install 'torch>=2.4,<2.14'"
        " --index-url https://download.pytorch.org/whl/cpu",
        0,
        "",
        never="takes torch's own index",
    ),
    Check(".venv/bin/pip install .", 0, "", never="goes on from the line before"),
    Check("uv tool install .", 0, "", never=_ON_PATH),
    Check("pipx install .", 0, "", never=_ON_PATH),
    Check(
        "uvx --from . natonnx inspect models/resnet20-fashion.onnx",
        0,
        "counts of edges",
        says("legal transitions$"),
        skip=_INSTALLS,
        minutes=5,
    ),
    Check(f"{_BUILD} --tag natonnx .", 0, "", never=_DOCKER),
    Check(_IN_CONTAINER.format("", "natonnx", "--target-madds 0.65"), 0, "", never=_DOCKER),
    Check(f"{_BUILD} --build-arg TORCH_INDEX= --tag natonnx:cuda .", 0, "", never=_DOCKER),
    Check(_IN_CONTAINER.format("--gpus all ", "natonnx:cuda", "--device cuda"), 0, "", never=_DOCKER),
    Check("py -3.12 -m venv .venv", 0, "", never=_WINDOWS),
    Check(r".venv\Scripts\pip install .", 0, "", never=_WINDOWS),
    Check(r".venv\Scripts\natonnx optimize models\resnet20-fashion.onnx --target-madds 0.65", 0, "", never=_WINDOWS),
    Check(
        "python3 -m pip wheel --wheel-dir wheels .",
        0,
        "wheels of natonnx and of torch",
        writes("wheels/natonnx-*.whl", "wheels/torch-*.whl"),
        skip=_INSTALLS,
        minutes=5,
    ),
    Check(
        "python3 -m venv .venv && .venv/bin/pip install --no-index --find-links wheels natonnx",
        0,
        "natonnx of that folder",
        says("^Successfully installed .*natonnx-"),
        skip=_INSTALLS,
        minutes=5,
    ),
    Check(
        ".venv/bin/pip uninstall --yes onnxruntime onnxruntime-gpu && .venv/bin/pip install .",
        0,
        "",
        skip=_INSTALLS,
        minutes=2,
    ),
)
