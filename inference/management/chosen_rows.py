"""Rows of the request log as commands choose them: of a key, an owner or a request."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from inference.models import InferenceRequest

COLUMNS = {"key": "key", "owner": "owner", "request": "request_id"}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--key", metavar="PREFIX", help="only of this key: the 8 characters after inf_")
    parser.add_argument("--owner", help="only of keys of this owner")
    parser.add_argument("--request", metavar="ID", help="only of this request: the x-request-id of its answer")


def chosen(options: Mapping[str, Any]) -> dict[str, str]:
    """Conditions for a query; empty if nothing was chosen."""
    return {column: options[name] for name, column in COLUMNS.items() if options[name] is not None}


def rows(options: Mapping[str, Any]) -> Any:
    return InferenceRequest.objects.filter(**chosen(options))
