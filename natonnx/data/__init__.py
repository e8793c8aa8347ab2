"""Labelled data for training, selection and reporting: built-in, ``.npz``, image folders, or a function of the user."""

from natonnx.data.augment import random_shift_flip
from natonnx.data.dataset import Dataset, Preprocessing, Split
from natonnx.data.loading import load
from natonnx.data.metadata import metadata_options
from natonnx.data.shipped import BUILTIN

__all__ = ["BUILTIN", "Dataset", "Preprocessing", "Split", "load", "metadata_options", "random_shift_flip"]
