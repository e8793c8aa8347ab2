"""The networks of the NAT paper's tables: catalog, torch models, and the edits that turn one into another."""
