"""`optimize`: from a model and data to a better model, or the honest answer that none was found."""
