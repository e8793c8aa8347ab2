"""What differs between two ONNX models: interface, operators, edges, weights, outputs, and what natonnx did to one."""
