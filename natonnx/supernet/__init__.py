"""Architecture → one torch module in which every edge can be O, S or N."""

from natonnx.supernet.batchnorm import Unfolded, calibration_batch, fold, has_batchnorm, unfold
from natonnx.supernet.initialise import initial_weights
from natonnx.supernet.module import Supernet

__all__ = ["Supernet", "Unfolded", "calibration_batch", "fold", "has_batchnorm", "initial_weights", "unfold"]
