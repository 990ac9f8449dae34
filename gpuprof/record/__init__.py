"""What happened: clocks, and the log of calls."""
