"""Who asks, and how much they may: keys and limits. Runs in web processes.

In: the credentials of a request, and the table of keys in the database. Out: a principal, or a refusal.
"""
