"""What the process does now, for the live page of the admin. Runs in web processes, on the service's event loop.

In: sockets of staff that is logged in. Out: each second, what has changed of the rows that the page shows.
"""
