"""A small shop as its team had it: pages, uploads, sockets, a background worker, users and an admin of its own."""
