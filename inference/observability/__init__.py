"""Runs in all processes: metrics, trace context, and the fields of log records."""
