"""Judgement: pure functions from a log to rows that add up, to intervals, and to sentences."""
