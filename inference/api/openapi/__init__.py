"""Runs in web processes: what the server answers at which path, as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1).

In: the dialects' ``Doc`` of each endpoint, the tasks of the pipelines. Out: the document of ``/openapi.json``, of which
``inference.pages`` makes ``/docs``.
"""
