import json
from pathlib import Path

import pytest

from natonnx.rewrite.trial import TOLERANCE
from tests.cli import tiny
from tools.conformance.wild.catalog import Wild, catalog
from tools.conformance.wild.check import check
from tools.conformance.wild.ocr import UnavailableError

FAST = {
    "light/squeezenet": 2,
    "torch/vgg/script-17": 4,
    "torch/resnet-bottleneck/script-13": 4,
    "torch/mobilenetv2/script-17-bn": 4,
    "torch/vit/script-17": 4,
    "torch/bert/script-17": 4,
    "torch/lstm/script-17": 2,
    "torch/darts/script-17": 4,
    "torch/resnet/dynamo-18": 4,
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wild")


def accept(wild: Wild, cache: Path, alphas: int) -> None:
    try:
        path = wild.fetch(cache)
    except UnavailableError as error:
        pytest.skip(str(error))
    result = check(wild.name, path, wild.reading, alphas=alphas, floor=wild.floor)
    assert not result.failures
    assert result.alphas == alphas
    assert result.beta is not None
    assert result.beta <= TOLERANCE
    assert result.legal
    assert result.worst is not None
    assert result.worst <= TOLERANCE
    assert result.batches == (1, 2)


@pytest.mark.parametrize("name", [name for name in FAST if name in catalog()])
def test_a_few_models(name: str, cache: Path) -> None:
    accept(catalog()[name], cache, FAST[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", catalog())
def test_every_model(name: str, cache: Path) -> None:
    accept(catalog()[name], cache, 8)


def test_command_prints_what_it_found(cache: Path) -> None:
    options = ("--models", "torch/vgg/script-17", "--alphas", "2", "--json", "--cache", cache)
    done = tiny.program("tools.conformance.wild", *options, cwd=tiny.ROOT)
    assert done.code == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert result["alphas"] == 2
    assert result["failures"] == []
    assert 0 < result["reach"] <= 1


def test_a_failure_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    (failure,) = check("broken", broken).failures
    assert "not an ONNX model" in failure.message
    assert failure.edits_json() == "[]"
