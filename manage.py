#!/usr/bin/env python
"""Django's command line: migrations, the worker (``runworker inference``), retention, checks."""

import os
import sys


def main(arguments: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "inferencesite.settings")
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 - after the settings module is named
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    try:
        execute_from_command_line(arguments)
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration: {error}")


if __name__ == "__main__":
    main(sys.argv)
