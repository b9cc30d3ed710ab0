"""Runs in web processes: HTML pages.

In: requests of browsers. Out: pages that show what is served and how to call it.
"""
