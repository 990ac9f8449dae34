"""The ONNX backend's cases for the operators that cnn has, stored, run on its layers, and put into a table."""
