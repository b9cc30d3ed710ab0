"""Runs in all processes: what each pipeline task takes and gives, one module per task. Imports no model library."""
