"""Figures as pages show them: as many digits as they are good for."""


def number(value: float | None) -> str:
    """Of at least 0: three digits, but whole numbers in full; a dash for ``None``."""
    if value is None:
        return "–"
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 else "< 0.001"


def duration(ms: float | None) -> str:
    if ms is None:
        return "–"
    if ms < 999.5:
        return f"{ms:.3g} ms"
    return f"{ms / 1000:.3g} s" if ms < 99_950 else f"{ms / 60_000:.3g} min"


def percent(part: float | None) -> str:
    """With two digits, because all that is above 99 % is not the same."""
    if part is None:
        return "–"
    digits = 0 if part in (0, 1) else 1 if 0.001 <= part <= 0.999 else 3
    return f"{100 * part:.{digits}f} %"
