"""The truth about GPU time, in a notebook or a script."""

__version__ = "0.1.0"
