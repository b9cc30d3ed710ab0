"""Addresses of clients as people type them."""

import ipaddress


def plain_address(text: str) -> str:
    """As the log has it; empty for anything else."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""
