"""Orders to pipelines and hosts, each with a page that asks first. What becomes of them, the live page shows."""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from inference.admin.live_tables import KEY, Action
from inference.control import orders

OPERATE = "inference.operate_pipelines"


class Order(NamedTuple):
    of: str
    """``pipeline`` or ``host``."""
    label: str
    explanation: str
    give: Callable[..., None]
    """With the name or id, and the user."""
    option: str = ""
    """Name of a flag of ``give``; ``option_label`` is what it means."""
    option_label: str = ""


ORDERS = {
    "load": Order(
        "pipeline",
        "Load",
        "All its hosts load it where it is not, at once also where a load has failed.",
        orders.load,
    ),
    "reload": Order(
        "pipeline",
        "Reload",
        "Its hosts read the model again, one after the other. The model that is served goes when the new one is ready.",
        orders.reload,
        "unload_first",
        "Unload it first: for where the memory is too small for both. Requests wait meanwhile.",
    ),
    "unload": Order(
        "pipeline",
        "Unload",
        "All its hosts finish what runs, refuse everything else and free its memory. "
        "It stays unloaded, also after a restart, until it is loaded here.",
        orders.unload,
    ),
    "drain": Order(
        "host",
        "Drain",
        "It finishes what it has begun and ends. Its supervisor starts another; so does a web process with its own.",
        orders.drain,
    ),
}


def orders_of(of: str, site: str) -> list[Action]:
    """Links to those for pipelines or hosts."""
    return [
        Action(name, order.label, reverse("admin:inference_live_order", args=[name, KEY], current_app=site))
        for name, order in ORDERS.items()
        if order.of == of
    ]


def order_view(request: HttpRequest, order: str, key: str, *, page: "ModelAdmin[Any]") -> HttpResponse:
    """Ask, and with ``POST`` give the order. ``page`` is that of the live page."""
    found = ORDERS.get(order)
    if found is None:
        raise Http404
    if not request.user.has_perm(OPERATE):
        raise PermissionDenied
    back = reverse("admin:inference_live_changelist", current_app=page.admin_site.name)
    if request.method == "POST":
        options = {found.option: found.option in request.POST} if found.option else {}
        try:
            found.give(key, request.user, **options)
        except orders.Impossible as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{found.label} {found.of} {key}: ordered. Hosts follow within some seconds.")
        return HttpResponseRedirect(back)
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": f"{found.label} {found.of} {key}",
        "order": found,
        "live": back,
    }
    return TemplateResponse(request, "admin/inference/live/order.html", context)
