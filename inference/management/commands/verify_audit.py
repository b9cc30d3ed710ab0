"""``manage.py verify_audit``: prove that no row of the audited request log was changed, removed or inserted."""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.management import period
from inference.request_log.audit.registry_check import Heads
from inference.request_log.audit.verification import Verification

PROGRESS_S = 5.0


class Command(BaseCommand):
    help = (
        "Verifies the chains of the request log (INFERENCE_AUDIT=chain). Exit code 0: nothing was changed, removed or "
        "inserted. Findings go to the standard output, progress to the standard error."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        period.add_arguments(parser)
        parser.add_argument(
            "--checkpoint",
            type=Path,
            metavar="FILE",
            help="compare with the heads of chains that this file has, and write them to it if nothing is found; "
            "keep it where whoever writes to the database cannot write",
        )

    def handle(self, *_: Any, checkpoint: Path | None, **options: Any) -> None:
        verification = Verification(since=options["since"], until=options["until"], known=_read(checkpoint))
        totals, began, found = verification.totals, time.monotonic(), 0
        shown = began
        for finding in verification.findings():
            if finding is not None:
                found += 1
                self.stdout.write(finding)
            elif time.monotonic() - shown > PROGRESS_S:
                shown = time.monotonic()
                self.stderr.write(f"{totals.rows:,} rows verified.", str)
        seconds = max(time.monotonic() - began, 1e-3)
        self.stdout.write(
            f"{totals.rows:,} rows in {totals.chains:,} chains verified in {seconds:.1f} s "
            f"({totals.rows / seconds:,.0f} a second); {totals.pruned:,} were pruned before, {totals.erased:,} are "
            f"erased. {totals.dropped:,} requests were dropped before they were written."
        )
        if found:
            raise CommandError(f"{found:,} findings: the request log is not as it was written.", returncode=1)
        if not verification.heads:
            raise CommandError(
                "There is no chain: no server has written with INFERENCE_AUDIT=chain, or all was removed."
            )
        if checkpoint is not None:
            checkpoint.write_text(json.dumps(verification.heads) + "\n")


def _read(checkpoint: Path | None) -> Heads:
    if checkpoint is None or not checkpoint.exists():
        return {}
    try:
        heads = json.loads(checkpoint.read_text())
        return {int(chain): (int(number), str(last)) for chain, (number, last) in heads.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CommandError(
            f"{checkpoint} cannot be read ({error}); it must be a file that this command wrote."
        ) from error
