"""What research uses: the paper's cells and networks, and NAS-Bench-201."""
