"""The form of a key: what it may use is chosen from what this deployment serves."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from inference import catalog
from inference.access import issuing
from inference.api.dialects import registry
from inference.models import ApiKey
from inference.models.api_key import HIGHEST_PRIORITY, LOWEST_PRIORITY

if TYPE_CHECKING:
    KeyForm = forms.ModelForm[ApiKey]
else:  # not subscriptable at run time
    KeyForm = forms.ModelForm

PRIORITIES = [(n, str(n)) for n in range(LOWEST_PRIORITY, HIGHEST_PRIORITY + 1)]


class Names(forms.MultipleChoiceField):
    """Names of one kind, as check boxes. A name that a key has stays a choice when it exists no more."""

    widget = forms.CheckboxSelectMultiple
    kind = ""
    _offered: Sequence[str] = ()

    def offer(self, known: Iterable[str], chosen: Iterable[str]) -> None:
        known = list(known)
        gone = [name for name in chosen if name not in known]
        self._offered = [*known, *gone]
        self.choices = [(name, name) for name in known] + [(name, f"{name} (does not exist)") for name in gone]

    def validate(self, value: list[str]) -> None:
        issuing.check_names(self.kind, value, self._offered)


class Pipelines(Names):
    kind = "pipeline"


class Routes(Names):
    kind = "route"


class ApiKeyForm(KeyForm):
    pipelines = Pipelines(required=False, help_text="It may use these; none chosen: all.")
    routes = Routes(required=False, help_text="Dialects that it may speak; none chosen: all.")
    priority = forms.TypedChoiceField(
        choices=PRIORITIES, coerce=int, help_text="Of waiting inputs, those of a higher priority are sent first."
    )

    class Meta:
        model = ApiKey
        fields = (
            "owner", "name", "scope", "pipelines", "routes", "requests_per_minute", "units_per_day",
            "inputs_in_flight", "max_deadline_s", "priority", "expires_at",
        )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, known in (
            ("pipelines", catalog.current().names),
            ("routes", [dialect.name for dialect in registry.served()]),
        ):
            field = self.fields.get(name)
            if isinstance(field, Names):  # whoever may only look has no fields
                field.offer(known, getattr(self.instance, name))
        if "expires_at" in self.fields:  # the admin's widget labels neither of its two
            widget: Any = self.fields["expires_at"].widget
            for part, label in zip(widget.widgets, ("Expires at: date", "Expires at: time"), strict=True):
                part.attrs["aria-label"] = label

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # puts the values into the instance
        try:
            issuing.check_settings(self.instance)
        except ValidationError as error:
            self._update_errors(error)  # type: ignore[attr-defined]


class RotationForm(forms.Form):
    hours = forms.FloatField(
        min_value=0,
        max_value=issuing.MAX_OVERLAP.total_seconds() / 3600,
        initial=issuing.OVERLAP.total_seconds() / 3600,
        label="Hours until the old key expires",
    )
