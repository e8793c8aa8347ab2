"""Labelled data for training, selection and reporting: built-in, files, folders, functions, or in memory."""

from natonnx.data.augment import random_shift_flip
from natonnx.data.dataset import Dataset, Preprocessing, Split
from natonnx.data.loading import load
from natonnx.data.memory import Data, Held, data_name, hold
from natonnx.data.metadata import metadata_options
from natonnx.data.shipped import BUILTIN

__all__ = [
    "BUILTIN",
    "Data",
    "Dataset",
    "Held",
    "Preprocessing",
    "Split",
    "data_name",
    "hold",
    "load",
    "metadata_options",
    "random_shift_flip",
]
