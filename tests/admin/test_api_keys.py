"""Keys in the admin: shown once, revoked for good, and nowhere else than on the page that made them."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inference.access import issuing, keys
from inference.models import ApiKey

LIST = reverse("admin:inference_apikey_changelist")
ADD = reverse("admin:inference_apikey_add")
FORM = {"owner": "acme", "name": "shop", "scope": "inference", "priority": "5"}
KEY = re.compile(r"inf_[A-Za-z0-9]{40}")
MakeStaff = Callable[..., Client]

pytestmark = pytest.mark.django_db


def address(name: str, key: ApiKey) -> str:
    return reverse(f"admin:inference_apikey_{name}", args=[key.pk])


def made(**fields: Any) -> ApiKey:
    key = ApiKey(**{"owner": "acme", "name": "shop", **fields})
    issuing.create(key)
    return key


@pytest.fixture
def staff() -> MakeStaff:
    """Makes a client that is logged in with these permissions."""

    def make(*permissions: str, superuser: bool = False) -> Client:
        number = User.objects.count()
        user = User.objects.create(username=f"staff{number}", is_staff=True, is_superuser=superuser)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def root(staff: MakeStaff) -> Client:
    return staff(superuser=True)


def everything(client: Client, key: ApiKey) -> str:
    """All pages that may say something of a key, the history, and what sessions keep."""
    names = ("change", "history", "rotate", "revoke")
    pages = [LIST, reverse("admin:index"), *(address(name, key) for name in names)]
    texts = [client.get(page).content.decode() for page in pages]
    entries = [f"{entry.object_repr} {entry.change_message}" for entry in LogEntry.objects.all()]
    sessions = [repr(session.get_decoded()) for session in Session.objects.all()]
    return "\n".join([*texts, *entries, *sessions, repr(client.cookies)])


def test_the_list_filters_by_no_digest(root: Client):
    key = made()
    assert root.get(LIST, {"digest__startswith": key.digest[0]}).status_code == 400
    assert root.get(LIST, {"owner": "acme"}).status_code == 200


# Making


@pytest.mark.parametrize("button", ["_save", "_continue", "_addanother"])
def test_a_new_key_is_shown_once_and_found_nowhere_else(root: Client, button: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    response = root.post(ADD, {**FORM, button: "1"})
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    shown = KEY.findall(response.content.decode())
    assert len(shown) == 1
    key = ApiKey.objects.get()
    assert key.digest == keys.digest(shown[0])
    assert "shown this once" in response.content.decode()
    elsewhere = everything(root, key) + caplog.text
    assert key.prefix in elsewhere
    for secret in (shown[0], shown[0].removeprefix(f"inf_{key.prefix}"), key.digest):
        assert secret not in elsewhere
    assert not KEY.search(elsewhere)


def test_what_a_key_may_use_is_chosen_from_what_there_is(root: Client):
    html = root.get(ADD).content.decode()
    assert re.findall(r'name="pipelines" value="([^"]+)"', html) == ["default"]
    assert {"native", "openai"} <= set(re.findall(r'name="routes" value="([^"]+)"', html))
    assert re.findall(r'<option value="(\d)"', html) == list("0123456789")
    root.post(ADD, {**FORM, "pipelines": ["default"], "routes": ["openai", "native"]})
    key = ApiKey.objects.get()
    assert (key.pipelines, sorted(key.routes)) == (["default"], ["native", "openai"])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"pipelines": "nobody"}, "There is no pipeline &#x27;nobody&#x27;; there are default."),
        ({"routes": "gopher"}, "There is no route &#x27;gopher&#x27;; there are "),
        ({"priority": "10"}, "10 is not one of the available choices"),
        ({"max_deadline_s": "0"}, "It must be above 0 and at most 3600 seconds."),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "It must be in the future."),
        ({"owner": ""}, "This field is required."),
    ],
)
def test_a_wrong_setting_is_said_in_one_sentence(root: Client, given: dict[str, str], sentence: str):
    html = root.post(ADD, {**FORM, **given}).content.decode()
    assert html.count(sentence) == 1
    assert not ApiKey.objects.exists()


# Changing


def test_some_fields_do_not_change(root: Client):
    key = made(pipelines=["gone"])
    html = root.get(address("change", key)).content.decode()
    for fixed in ("owner", "scope", "prefix", "digest", "revoked_at", "last_used_at"):
        assert f'name="{fixed}' not in html
    assert "gone (does not exist)" in html
    before = ApiKey.objects.get()
    given = {**FORM, "owner": "other", "scope": "manage", "name": "till", "units_per_day": "5", "pipelines": ["gone"]}
    given |= {"prefix": "x", "digest": "y", "revoked_at_0": "2026-01-01", "revoked_at_1": "00:00"}
    assert root.post(address("change", key), given).status_code == 302
    after = ApiKey.objects.get()
    changed = {f.name for f in ApiKey._meta.concrete_fields if getattr(before, f.name) != getattr(after, f.name)}
    assert changed == {"name", "units_per_day"}


def test_a_change_does_not_undo_a_revocation_of_the_same_moment(root: Client, monkeypatch: pytest.MonkeyPatch):
    key = made()
    check = issuing.check_settings

    def revoked_meanwhile(changed: ApiKey) -> None:
        check(changed)
        issuing.revoke(changed)

    monkeypatch.setattr(issuing, "check_settings", revoked_meanwhile)
    root.post(address("change", key), {**FORM, "name": "till"})
    assert ApiKey.objects.get().name == "till"
    assert ApiKey.objects.get().revoked_at is not None


def test_keys_are_not_deleted(root: Client):
    key = made()
    assert root.post(address("delete", key), {"post": "yes"}).status_code == 403
    root.post(LIST, {"action": "delete_selected", "_selected_action": key.pk, "post": "yes"})
    assert ApiKey.objects.count() == 1
    assert "delete_selected" not in root.get(LIST).content.decode()


# Revoking and rotating


def test_a_revocation_asks_first(root: Client):
    key = made()
    html = root.get(address("revoke", key)).content.decode()
    assert key.prefix in html
    assert ApiKey.objects.get().revoked_at is None
    response = root.post(address("revoke", key), {"confirmed": "1"}, follow=True)
    assert "1 key revoked." in response.content.decode()
    assert ApiKey.objects.get().revoked_at is not None
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Revoked."]
    assert root.get(address("revoke", key)).status_code == root.get(address("rotate", key)).status_code == 403


def test_several_keys_are_revoked_together(root: Client):
    chosen, other = [made(), made()], made()
    data: dict[str, Any] = {"action": "revoke_selected", "_selected_action": [key.pk for key in chosen]}
    html = root.post(LIST, data).content.decode()
    assert set(re.findall(r'name="_selected_action" value="(\d+)"', html)) == {str(key.pk) for key in chosen}
    assert not ApiKey.objects.filter(revoked_at__isnull=False).exists()
    root.post(LIST, {**data, "confirmed": "1"})
    assert list(ApiKey.objects.filter(revoked_at__isnull=True)) == [other]


def test_a_rotation_shows_the_new_key_once(root: Client):
    old = made(units_per_day=7)
    assert 'value="24.0"' in root.get(address("rotate", old)).content.decode()
    response = root.post(address("rotate", old), {"hours": "2"})
    (shown,) = KEY.findall(response.content.decode())
    new = ApiKey.objects.get(prefix=keys.prefix_of(shown))
    old.refresh_from_db()
    assert (new.owner, new.units_per_day, new.digest) == ("acme", 7, keys.digest(shown))
    assert old.expires_at is not None
    assert old.expires_at <= timezone.now() + timedelta(hours=2)
    assert {entry.change_message for entry in LogEntry.objects.all()} == {
        f"Made by rotation of {old.prefix}.",
        f"Rotated; {new.prefix} takes its place.",
    }
    assert shown not in everything(root, new)


@pytest.mark.parametrize("hours", ["", "-1", "many", "1e9", "nan"])
def test_an_impossible_overlap_makes_no_key(root: Client, hours: str):
    old = made()
    assert "errorlist" in root.post(address("rotate", old), {"hours": hours}).content.decode()
    assert ApiKey.objects.count() == 1


# The list


def test_the_list_says_in_words_which_keys_work(root: Client):
    now = timezone.now()
    made(name="one", expires_at=now + timedelta(days=3, minutes=1))
    made(name="two")
    ended = made(name="three")
    issuing.revoke(ended)
    html = root.get(LIST).content.decode()
    for words in ("expires in 3 days, never used", "never used", "revoked"):
        assert f"</span> {words}</span>" in html
    only = root.get(LIST, {"state": "revoked"}).content.decode()
    assert ended.prefix in only
    assert only.count('class="key-state') == 1
    assert root.get(LIST, {"state": "nonsense"}).content.decode().count('class="key-state') == 3


def test_names_are_escaped(root: Client):
    key = made(owner="<script>alert(1)</script>", name="<b>x</b>", pipelines=["<i>p</i>"])
    assert not {"<script>alert", "<b>x</b>", "<i>p</i>"} & set(re.findall(r"<[^/][^>]*>[^<]*", everything(root, key)))


# Permissions


@pytest.mark.parametrize(
    ("permissions", "listed", "changed", "added", "rotated"),
    [
        ([], 403, 403, 403, 403),
        (["view_inferencerequest", "view_inputs"], 403, 403, 403, 403),
        (["view_apikey"], 200, 403, 403, 403),
        (["change_apikey"], 200, 200, 403, 403),
        (["add_apikey"], 403, 403, 200, 403),
        (["add_apikey", "change_apikey"], 200, 200, 200, 200),
    ],
)
def test_keys_have_permissions_of_their_own(
    staff: MakeStaff, permissions: list[str], listed: int, changed: int, added: int, rotated: int
):
    key, client = made(), staff(*permissions)
    assert client.get(LIST).status_code == listed
    assert client.get(address("revoke", key)).status_code == changed
    assert client.get(ADD).status_code == added
    assert client.post(address("rotate", key), {"hours": "1"}).status_code == rotated
    assert ApiKey.objects.count() == (2 if rotated == 200 else 1)
    assert client.get(reverse("admin:inference_inferencerequest_changelist")).status_code == (
        200 if "view_inferencerequest" in permissions else 403
    )


def test_whoever_may_only_look_sees_no_buttons(staff: MakeStaff):
    key, client = made(), staff("view_apikey")
    html = client.get(address("change", key)).content.decode()
    assert key.prefix in html
    assert not re.findall(r"/(?:rotate|revoke)/", html)
    client.post(LIST, {"action": "revoke_selected", "_selected_action": key.pk, "confirmed": "1"})
    assert ApiKey.objects.get().revoked_at is None


def test_visitors_must_log_in(client: Client):
    key = made()
    for page in (LIST, ADD, *(address(name, key) for name in ("change", "rotate", "revoke"))):
        response = client.get(page)
        assert response.status_code == 302
        assert reverse("admin:login") in response["Location"]
