"""Periods as commands take them: ``--from`` and ``--to``, a day or a moment in UTC."""

import argparse
from datetime import UTC, datetime, timedelta


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", type=_beginning, dest="since", metavar="TIME", help="2027-01-31, or 2027-01-31T12:30")
    parser.add_argument("--to", type=_end, dest="until", metavar="TIME", help="the same; a day is meant as a whole")


def _beginning(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} must be a time like 2027-01-31 or 2027-01-31T12:30.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _end(text: str) -> datetime:
    moment = _beginning(text)
    return moment if len(text) > len("2027-01-31") else moment + timedelta(days=1) - timedelta(microseconds=1)
