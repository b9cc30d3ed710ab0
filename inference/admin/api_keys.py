"""Keys in the Django admin: made and rotated with the key shown once, revoked for good, never deleted.

A key is part of the answer to the request that made it, and of nothing else: no message, session or history has it.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables

from inference.access import issuing, key_states
from inference.access.key_states import KeyState, KeyStates
from inference.admin.api_key_form import ApiKeyForm, RotationForm
from inference.models import ApiKey
from inference.request_log.usage_table import used_today

if TYPE_CHECKING:
    KeyAdmin = admin.ModelAdmin[ApiKey]
else:  # not subscriptable at run time
    KeyAdmin = admin.ModelAdmin

LIST = "admin:inference_apikey_changelist"
FIXED = ("owner", "scope")
"""What cannot change: usage is counted by owner, and a key must not come to manage unnoticed."""
SIGNS = {
    KeyState.WORKS: "✓",
    KeyState.UNUSED: "○",
    KeyState.EXPIRING: "!",
    KeyState.OVER_LIMIT: "!",
    KeyState.EXPIRED: "✗",
    KeyState.REVOKED: "✗",
}


def _shown_state(states: KeyStates, key: ApiKey) -> str:
    """In words, with a sign; the colour only repeats it."""
    state = states.of(key)
    return format_html(
        '<span class="key-state {}"><span aria-hidden="true">{}</span> {}</span>',
        state.value.replace("_", "-"),
        SIGNS[state],
        states.words(key),
    )


class StateFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return KeyState.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() not in KeyState.values:
            return None
        return queryset.filter(key_states.current(used_today()).having(str(self.value())))


@admin.register(ApiKey)
class ApiKeyAdmin(KeyAdmin):
    form = ApiKeyForm
    list_display = ("owner", "name", "prefix", "state", "may_use", "last_used_at", "expires_at", "created_at")
    list_display_links = ("name",)
    list_filter = (StateFilter, "scope", "owner")
    search_fields = ("owner", "name", "prefix")
    search_help_text = "Owner, name, or the 8 characters after inf_."
    list_per_page = 100
    actions = ("revoke_selected",)
    empty_value_display = "–"
    save_as = save_on_top = False
    change_form_template = "inference/admin/api_key_change.html"
    readonly_fields = ("prefix", "state", "created_at", "last_used_at", "revoked_at")
    fieldsets = (
        (None, {"fields": ("owner", "name", "scope", "expires_at")}),
        ("May use", {"fields": ("pipelines", "routes")}),
        (
            "Limits; empty: none",
            {"fields": ("requests_per_minute", "units_per_day", "inputs_in_flight", "max_deadline_s", "priority")},
        ),
    )
    made_of = (("Key", {"fields": readonly_fields}),)

    class Media:
        css = {"all": ("inference/admin.css",)}  # noqa: RUF012 - as Django documents it

    # What may be done

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Rows of usage and of the log refer to keys; a key that shall not work any more is revoked."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A revoked key stays as it was."""
        return super().has_change_permission(request, obj) and (obj is None or obj.revoked_at is None)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return self.fieldsets if obj is None else (*self.made_of, *self.fieldsets)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return self.readonly_fields if obj is None else (*self.readonly_fields, *FIXED)

    # What the list shows

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Not by the digest, which nobody shall find out letter by letter."""
        return lookup.partition("__")[0] != "digest" and super().lookup_allowed(lookup, value, request)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """With the states of one moment, for which usage is read once."""
        states = key_states.current(used_today())

        @admin.display(description="state")
        def state(key: ApiKey) -> str:
            return _shown_state(states, key)

        return [state if column == "state" else column for column in self.list_display]

    def state(self, key: ApiKey) -> str:
        return _shown_state(key_states.current(used_today()), key)

    @admin.display(description="may use")
    def may_use(self, key: ApiKey) -> str:
        scope = ["managing"] if key.scope == ApiKey.Scope.MANAGE else []
        return ", ".join([*scope, *key.pipelines, *key.routes]) or "all"

    # Making a key

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        if change:  # nothing else: the key may be revoked or used meanwhile
            obj.save(update_fields=[name for name in form.changed_data if name not in FIXED])
        else:
            request.made_key = issuing.create(obj)  # type: ignore[attr-defined]  # for response_add

    @method_decorator(never_cache)
    def add_view(self, *args: Any, **options: Any) -> HttpResponse:
        return super().add_view(*args, **options)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The page with the key, whichever button was pressed; no redirect, which would have to carry it."""
        return self._made(request, obj, request.made_key)  # type: ignore[attr-defined]

    @sensitive_variables()
    def _made(self, request: HttpRequest, key: ApiKey, shown: str, old: ApiKey | None = None) -> HttpResponse:
        context = {"title": f"Key of {key.owner}", "key": key, "shown": shown, "old": old}
        return self._page(request, "made", context)

    # Revoking and rotating

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("<path:object_id>/rotate/", self._staff(self.rotate_view), name="inference_apikey_rotate"),
            path("<path:object_id>/revoke/", self._staff(self.revoke_view), name="inference_apikey_revoke"),
        ]
        return own + super().get_urls()

    def _staff(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        return self.admin_site.admin_view(never_cache(csrf_protect(view)))

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self._key(request, object_id)
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = RotationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                with transaction.atomic():
                    new, shown = issuing.rotate(key, timedelta(hours=form.cleaned_data["hours"]))
                    self.log_addition(request, new, f"Made by rotation of {key.prefix}.")
                    self.log_change(request, key, f"Rotated; {new.prefix} takes its place.")
            except ValidationError as error:
                form.add_error(None, error)
            else:
                key.refresh_from_db()
                return self._made(request, new, shown, key)
        return self._page(request, "rotate", {"title": "Rotate a key", "key": key, "form": form})

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self._key(request, object_id)
        return self._revoke(request, [key])

    @admin.action(description="Revoke selected keys", permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        return self._revoke(request, list(queryset.filter(revoked_at__isnull=True)))

    def _revoke(self, request: HttpRequest, keys: Sequence[ApiKey]) -> HttpResponse:
        """Asks, and after that does it."""
        if "confirmed" not in request.POST and keys:
            return self._page(request, "revoke", {"title": "Revoke keys", "keys": keys})
        for key in keys:
            if issuing.revoke(key):
                self.log_change(request, key, "Revoked.")
        n = len(keys)
        self.message_user(request, f"{n} key{'' if n == 1 else 's'} revoked.", messages.SUCCESS)
        return HttpResponseRedirect(self._list_path())

    def _key(self, request: HttpRequest, object_id: str) -> ApiKey:
        key = self.get_object(request, unquote(object_id))
        if key is None:
            raise Http404
        if not self.has_change_permission(request, key):
            raise PermissionDenied
        return key

    def _list_path(self) -> str:
        return reverse(LIST, current_app=self.admin_site.name)

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "list": self._list_path(),
        }
        return TemplateResponse(request, f"inference/admin/api_key_{name}.html", common | context)
