"""What an operator may order. Each function writes a row and returns; web processes tell the hosts within 2 s.

An order holds until the next one for the same pipeline, also when everything is started again. ``by`` is the Django
user who gave it, for the admin's history.
"""

import re
import time
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import models, router, transaction
from django.db.models.functions import Now

from inference import catalog
from inference.models import HostDrain, PipelineControl, Stamp

Order = PipelineControl.Order
HOST = re.compile("[0-9a-f]{12}")
KEPT = timedelta(days=1)
"""How long it is known that a host was to be drained; long before, it has ended."""


class Impossible(ValueError):
    """An order that cannot be given. The message is one sentence for the operator."""


def load(pipeline: str, by: Any = None) -> None:
    """Load it at all its hosts where it is not; also at once where a load has failed.

    Raises:
        Impossible: the catalog has no such pipeline.
    """
    _order(pipeline, by, Order.LOAD, "Loaded.")


def unload(pipeline: str, by: Any = None) -> None:
    """Unload it at all its hosts: what runs is finished, everything else is refused, and the memory is free.

    Raises:
        Impossible: the catalog has no such pipeline.
    """
    _order(pipeline, by, Order.UNLOAD, "Unloaded.")


def reload(pipeline: str, by: Any = None, *, unload_first: bool = False) -> None:
    """Read the model again at all its hosts, one after the other; an unloaded pipeline is loaded.

    Args:
        unload_first: requests wait meanwhile. Otherwise the model that is served goes when the new one is ready; where
            the memory is too small for both, it stays, and the worker's reason says so.

    Raises:
        Impossible: the catalog has no such pipeline.
    """
    _order(pipeline, by, Order.RELOAD, "Reloaded, unloaded first." if unload_first else "Reloaded.", unload_first)


def drain(host: str, by: Any = None) -> None:
    """Let a host finish what it has begun and end; its supervisor starts another, and so does an embedded one.

    Args:
        host: its id, as in ``PipelineState.hosts``.

    Raises:
        Impossible: this is no id of a host.
    """
    if not HOST.fullmatch(host):
        raise Impossible(f"{host[:60]!r} is no id of a host; `manage.py pipelines --json` names them.")
    using = router.db_for_write(HostDrain)
    with transaction.atomic(using=using):
        drains = HostDrain.objects.using(using)
        drains.filter(ordered_at__lt=Now() - KEPT).delete()
        row, _ = drains.update_or_create(host=host, defaults={"ordered_at": Now()})
        Stamp.renew(using)
        _note(by, row, "Drained.")


def _order(name: str, by: Any, order: PipelineControl.Order, words: str, unload_first: bool = False) -> None:  # noqa: FBT001, FBT002
    spec = catalog.current().find(name)
    if spec is None:
        raise Impossible(f"There is no pipeline {name[:60]!r}; known are {', '.join(catalog.current().names)}.")
    using = router.db_for_write(PipelineControl)
    with transaction.atomic(using=using):
        Stamp.renew(using)  # first: its lock keeps orders apart
        rows = PipelineControl.objects.using(using)
        before = rows.filter(pipeline=spec.name).values_list("generation", flat=True).first() or 0
        generation = max(before + 1, int(time.time()))  # hosts know that of a row which was deleted
        fields = {"order": order, "unload_first": unload_first, "generation": generation, "ordered_at": Now()}
        row, _ = rows.update_or_create(pipeline=spec.name, defaults=fields)
        _note(by, row, words)


def _note(user: Any, row: models.Model, words: str) -> None:
    """In the admin's history, where there are an admin and a user."""
    if user is None or not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.models import CHANGE, LogEntry  # noqa: PLC0415 - a project may do without the admin
    from django.contrib.contenttypes.models import ContentType  # noqa: PLC0415

    LogEntry.objects.create(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(row),
        object_id=str(row.pk),
        object_repr=str(row),
        action_flag=CHANGE,
        change_message=words,
    )
