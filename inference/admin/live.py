"""The live page: what the web process that answers it sees now. A script keeps it up to date over a WebSocket."""

import asyncio
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from inference.admin.live_orders import OPERATE, order_view, orders_of
from inference.admin.live_tables import Action, tables
from inference.api.live.consumer import PATH
from inference.api.live.feed import SEES_INPUTS, VIEW, State, feed_of
from inference.models import Live
from inference.server import mount
from inference.serving import current_service
from inference.serving.service import Service

if TYPE_CHECKING:
    PageAdmin = admin.ModelAdmin[Live]
else:  # not subscriptable at run time
    PageAdmin = admin.ModelAdmin

STATE_S = 2.0
"""How long the page waits for the event loop of the service."""


@admin.register(Live)
class LiveAdmin(PageAdmin):
    """A page without rows of a table: nothing else that a ``ModelAdmin`` does is reachable."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Live | None = None) -> bool:
        return request.user.has_perm(VIEW)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Live | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Live | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        site, order = self.admin_site, partial(order_view, page=self)
        return [
            path("", site.admin_view(self.changelist_view), name="inference_live_changelist"),
            path("<str:order>/<str:key>/", site.admin_view(order), name="inference_live_order"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        service, messages = current_service.get(), request.user.has_perm(SEES_INPUTS)
        state = _state(service, messages=messages) if service else {}
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Live",
            "process": state["process"][0] if state else None,
            "tables": tables(state, messages=messages, **self._actions(request)) if state else [],
            "socket": request.META.get("SCRIPT_NAME", "").rstrip("/") + mount.public_path(PATH),
            "views_log": request.user.has_perm("inference.view_inferencerequest"),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/inference/live/page.html", context)

    def _actions(self, request: HttpRequest) -> dict[str, list[Action]]:
        if not request.user.has_perm(OPERATE):
            return {}
        return {
            "of_pipelines": orders_of("pipeline", self.admin_site.name),
            "of_hosts": orders_of("host", self.admin_site.name),
        }


def _state(service: Service, *, messages: bool) -> State:
    """Empty where the loop of the service does not answer."""

    async def read() -> State:
        return feed_of(service).state(messages=messages)

    try:
        return asyncio.run_coroutine_threadsafe(read(), service.loop).result(STATE_S)
    except (TimeoutError, CancelledError, RuntimeError):
        return {}
