"""The audit of the request log: rows are chained, so that a change, a removal and an insertion are found.

Each writer has a chain of its own. A row's hash covers the row, its number and the hash of the row before; the heads
of chains, their openings and what is pruned or erased are signed. All of it is keyed with ``SECRET_KEY``, so that the
database alone is not enough to make any of it. docs/security.md says what is defended and what is not.
"""
