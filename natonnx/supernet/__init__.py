"""Architecture → one torch module in which every edge can be O, S or N."""

from natonnx.supernet.batchnorm import Unfolded, calibration_batch, fold, has_batchnorm, unfold
from natonnx.supernet.module import Supernet

__all__ = ["Supernet", "Unfolded", "calibration_batch", "fold", "has_batchnorm", "unfold"]
