"""``python -m tests.benchmarks.generation``: the section by itself, with a choice of servers."""

import argparse
import signal
import sys

from tests.benchmarks.generation import comparison, engines, rows
from tests.benchmarks.report import say


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.generation")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(rows.QUICK)} of {', '.join(engines.QUICK)}")
    parser.add_argument("--servers", help=f"of {', '.join(engines.ALL)}, ours:SETTING=…, ours@CHECKOUT")
    parser.add_argument("--rows", help=f"of {', '.join(rows.ALL)}; numbers are those of streams")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    names = options.servers.split(",") if options.servers else engines.QUICK if options.quick else engines.ALL
    measured = options.rows.split(",") if options.rows else rows.QUICK if options.quick else tuple(rows.ALL)
    unknown = [name for name in names if not engines.known(name)] + [row for row in measured if row not in rows.ALL]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers end, too
    found = comparison.compare(names, measured, options.rounds)
    say("\n".join(found.lines()))
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
