"""The networks of the NAT paper's tables."""
