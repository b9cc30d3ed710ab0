"""Metrics, trace context and the fields of log records. Runs in all processes."""
