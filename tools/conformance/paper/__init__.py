"""Compare natonnx with the tables of the NAT paper."""
