"""What `natonnx inspect` and a one-edit `natonnx apply` take, beside other tools of ONNX files."""
