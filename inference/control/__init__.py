"""Runs in web processes and commands: what operators want of pipelines and hosts, as rows of the database.

In: a call of ``orders`` by the admin or a command. Out: ``Desired``, which a web process tells the hosts in each hello.
"""
