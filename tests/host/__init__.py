"""Inference in somebody else's project: ``tests/hostproject`` with the edits of docs/integration.md, from the wheel."""
