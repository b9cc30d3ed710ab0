"""``manage.py export_requests``: rows of the request log as JSON lines or CSV."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from inference.management import chosen_rows, period
from inference.request_log.export import FORMATS, Export


class Command(BaseCommand):
    help = (
        "Writes rows of the request log to the standard output, oldest first. In CSV, a text that a spreadsheet would "
        "take for a formula begins with an apostrophe."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        period.add_arguments(parser)
        chosen_rows.add_arguments(parser)
        parser.add_argument("--format", choices=tuple(FORMATS), default="jsonl", help="default: %(default)s")

    def handle(self, *_: Any, **options: Any) -> None:
        rows = chosen_rows.rows(options)
        if options["since"]:
            rows = rows.filter(received_at__gte=options["since"])
        if options["until"]:
            rows = rows.filter(received_at__lte=options["until"])
        export = Export(rows, options["format"])
        self.stdout.write(export.first(), ending="")
        for page in export.pages():
            self.stdout.write(page, ending="")
