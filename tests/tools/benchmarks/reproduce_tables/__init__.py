"""Tests of the paper's comparisons."""
