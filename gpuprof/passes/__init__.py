"""The measuring of one statement, pass after pass: host, device, kernels, and what one may ask besides."""
