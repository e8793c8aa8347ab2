"""The networks that are searched: trained here once on CIFAR-10, or those of `models/`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from natonnx.errors import InputError
from natonnx.frontend import Granularity, ParseOptions, Transitions, load
from natonnx.search import Settings
from natonnx.verbs.optimize.prepare import Prepared, prepare
from tools.benchmarks.bench_search import modules
from tools.benchmarks.bench_search.cifar import write_parts
from tools.benchmarks.bench_search.training import CIFAR, Recipe, make_model

__all__ = ["NETWORKS", "Network", "choose"]

_MODELS = Path(__file__).parents[3] / "models"


@dataclass(frozen=True)
class Network:
    """A network and its data.

    Attributes:
        name: In tables, and of its file.
        build: Makes the torch module with fresh weights; None for a model that is there.
        recipe: How it is trained.
        granularity: By which it is edited.
    """

    name: str
    build: Callable[[], nn.Module] | None = None
    recipe: Recipe = CIFAR
    granularity: Granularity = Granularity.LAYER

    @property
    def data(self) -> str:
        """What its figures are of."""
        return "Fashion-MNIST" if self.build is None else "CIFAR-10 (JPEG q75)"

    def model(self, folder: Path, archive: Path | None) -> Path:
        """Return the file; it is trained where it is not there yet.

        Args:
            folder: Cache.
            archive: Of CIFAR-10's pictures; only needed the first time.
        """
        if self.build is None:
            return _MODELS / f"{self.name.removeprefix('fashion-')}-fashion.onnx"
        path = folder / f"{self.name}.onnx"
        if not path.exists():
            make_model(self.build, self.arrays(folder, archive), path, self.recipe)
        return path

    def arrays(self, folder: Path, archive: Path | None) -> Path:
        """Return the file of CIFAR-10's parts."""
        return write_parts(archive, folder / "cifar10-12000-2500.npz")

    def prepare(self, folder: Path, archive: Path | None, transitions: Transitions = Transitions.NAT) -> Prepared:
        """Read model and data as `natonnx optimize` does."""
        reading = ParseOptions(granularity=self.granularity, transitions=transitions)
        source = load(self.model(folder, archive), reading)
        data = None if self.build is None else str(self.arrays(folder, archive))
        return prepare(source, data, settings=Settings(), device="cpu")


_MOBILE = ((1, 8, 1, 1), (4, 12, 2, 2), (4, 24, 4, 1), (4, 40, 3, 2))

_ALL = (
    Network("resnet20", partial(modules.resnet, 3, (8, 16, 32))),
    Network("resnet56", partial(modules.resnet, 9, (5, 10, 20))),
    Network("vgg", partial(modules.vgg, 4, (12, 24, 48))),
    Network("mobilenetv2", partial(modules.mobilenetv2, _MOBILE, 160)),
    Network("darts", partial(modules.darts, 8, 5)),
    Network("densenet", partial(modules.densenet, 10, 6, 12)),
    Network("vit", partial(modules.vit, 8, 48, 6), Recipe(adaptive=True, rate=1.5e-3), Granularity.BRANCH),
    *(Network(f"fashion-{name}") for name in ("resnet20", "vgg", "mobilenetv2")),
)

NETWORKS: Mapping[str, Network] = {network.name: network for network in _ALL}
"""By name, in the order of the tables."""


def choose(names: str) -> list[Network]:
    """Find networks by names with commas between.

    Raises:
        InputError: If there is no such network.
    """
    unknown = [name for name in names.split(",") if name not in NETWORKS]
    if unknown:
        raise InputError(f"no network is called {unknown[0]!r}; there are {', '.join(NETWORKS)}")
    return [NETWORKS[name] for name in names.split(",")]
