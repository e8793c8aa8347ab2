"""NAS-Bench-201 as a testbed of policies: every cell's accuracy is known, so the best legal transformation is too."""
