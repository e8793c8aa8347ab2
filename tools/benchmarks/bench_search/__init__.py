"""Which search ends with the best model at the same number of training images."""
