"""Runs in web processes: keeps what is in memory like the database, by one query twice a second."""
