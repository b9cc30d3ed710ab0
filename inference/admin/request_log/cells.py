"""Cells of the list, each of two lines at most, so that outcome and times fit on a screen."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from inference.models import InferenceRequest

if TYPE_CHECKING:
    LogAdmin = admin.ModelAdmin[InferenceRequest]
else:  # not subscriptable at run time
    LogAdmin = admin.ModelAdmin

PREVIEW_CHARS = 80
NAME_CHARS = 30
SIGNS = {"ok": "✓", "refused": "⊘", "failed": "✗", "cancelled": "–"}


def duration(ms: float | None) -> str:
    """A readable time: ``3.1 ms``, ``1.24 s``; a dash for ``None``."""
    if ms is None:
        return "–"
    return one_line(f"{ms:.1f} ms" if ms < 999.95 else f"{ms / 1000:.2f} s")


def one_line(text: str) -> str:
    """The text with no-break spaces, so that a row of the list is one line high."""
    return "\N{NO-BREAK SPACE}".join(text.split())


def shortened(name: str) -> str:
    """The end of a long name, which distinguishes models in one folder."""
    return name if len(name) <= NAME_CHARS else "…" + name[-NAME_CHARS:]


def outcome(row: InferenceRequest) -> SafeString:
    """In words, with a sign; the colour only repeats it."""
    return format_html(
        '<span class="log-status {}"><span aria-hidden="true">{}</span> {}</span>',
        row.status,
        SIGNS.get(row.status, ""),
        row.get_status_display(),
    )


class Cells(LogAdmin):
    """Its columns by name."""

    @admin.display(ordering="received_at", description="received")
    def received(self, row: InferenceRequest) -> str:
        moment = timezone.localtime(row.received_at)
        clock = f"{moment:%H:%M:%S.%f}"[:-3]
        return format_html(
            '<span class="log-first">{}</span><span class="log-second">{}</span>', clock, f"{moment:%Y-%m-%d}"
        )

    @admin.display(description="request")
    def short_id(self, row: InferenceRequest) -> str:
        how = " · ".join(filter(None, (row.get_transport_display(), row.dialect)))
        return format_html(
            '<span class="log-first" title="{}">{}</span><span class="log-second">{}</span>',
            row.request_id, row.request_id[:8], how,
        )  # fmt: skip

    @admin.display(description="outcome")
    def outcome(self, row: InferenceRequest) -> str:
        code = row.code if row.code != row.status else ""
        times = format_html(' <b title="requests that share this row">×{}</b>', row.count) if row.count > 1 else ""
        return format_html('{}{}<span class="log-second">{}</span>', outcome(row), times, code)

    @admin.display(description="pipeline and input")
    def asked(self, row: InferenceRequest) -> str:
        return self._asked(row, getattr(row, "beginning", ""))

    @admin.display(description="pipeline")
    def pipeline_only(self, row: InferenceRequest) -> str:
        """For those who may not see inputs."""
        return self._asked(row, "")

    def _asked(self, row: InferenceRequest, beginning: str) -> str:
        number = format_html(' <span class="log-quiet">{} inputs</span>', row.inputs) if row.inputs > 1 else ""
        shown = beginning if len(beginning) <= PREVIEW_CHARS else beginning[:PREVIEW_CHARS] + "…"
        return format_html(
            '<span class="log-first" title="{}">{}{}</span><span class="log-second log-preview">{}</span>',
            row.pipeline, shortened(row.pipeline), number, shown,
        )  # fmt: skip

    @admin.display(description="caller")
    def caller(self, row: InferenceRequest) -> str:
        """Owner of the key, if there is one, and address."""
        if not row.key:
            return format_html('<span class="log-first">{}</span>', row.client or "")
        return format_html(
            '<span class="log-first" title="key {}">{}</span><span class="log-second">{}</span>',
            row.key, row.owner, row.client or "",
        )  # fmt: skip

    @admin.display(description="batch")
    def batch(self, row: InferenceRequest) -> str:
        return str(row.batch_size) if row.batch_size else "–"

    @admin.display(ordering="queue_ms")
    def queue(self, row: InferenceRequest) -> str:
        return duration(row.queue_ms)

    @admin.display(ordering="inference_ms", description="model")
    def inference(self, row: InferenceRequest) -> str:
        return duration(row.inference_ms)

    @admin.display(ordering="total_ms")
    def total(self, row: InferenceRequest) -> str:
        return duration(row.total_ms)
