"""Data for training, selection and reporting: built-in, files, folders, functions, or in memory."""

from natonnx.data.aside import put_aside
from natonnx.data.augment import random_shift_flip
from natonnx.data.batches import ArrayBatches, Batch, Batches, StreamBatches
from natonnx.data.dataset import Dataset, Parts, Preprocessing, Split
from natonnx.data.indexed import IndexedBatches
from natonnx.data.load_options import LoadOptions
from natonnx.data.loading import load
from natonnx.data.memory import Data, Held, data_name, hold
from natonnx.data.metadata import metadata_options
from natonnx.data.shipped import BUILTIN
from natonnx.data.signature import InputSpec, Signature

__all__ = [
    "BUILTIN",
    "ArrayBatches",
    "Batch",
    "Batches",
    "Data",
    "Dataset",
    "Held",
    "IndexedBatches",
    "InputSpec",
    "LoadOptions",
    "Parts",
    "Preprocessing",
    "Signature",
    "Split",
    "StreamBatches",
    "data_name",
    "hold",
    "load",
    "metadata_options",
    "put_aside",
    "random_shift_flip",
]
