"""The CUDA sources, compiled as C++ and run on the CPU: see emulator.h."""
