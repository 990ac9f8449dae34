"""CUDA kernels written by hand, each an override beside a layer's plain form; compiled on the user's machine."""
