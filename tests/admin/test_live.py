"""The live page as Django answers it: who sees what, and orders that are asked for twice."""

from collections.abc import Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from inference import infer_sync
from inference.admin.live_orders import ORDERS
from inference.errors import InferenceError
from inference.models import HostDrain, InferenceRequest, PipelineControl
from inference.server import mount
from inference.serving import current_service
from inference.testing import FakePipeline
from inference.testing.running import running

PAGE, LOG = reverse("admin:inference_live_changelist"), reverse("admin:inference_inferencerequest_changelist")
NO_MASK = "The input has no [MASK]"
MESSAGE = 'data-label="Message"'
HOST = "0123456789ab"

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def _serving() -> Iterator[None]:
    with running(FakePipeline(), pipelines={"words": FakePipeline(), "chat": FakePipeline("text-generation")}):
        with pytest.raises(InferenceError):
            infer_sync("no mask", pipeline="words")
        yield


def staff(client: Client, *permissions: str) -> Client:
    user, _ = User.objects.get_or_create(username="viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def page(client: Client) -> str:
    response = client.get(PAGE)
    assert response.status_code == 200
    assert "no-store" in response["cache-control"]
    return response.content.decode()


@pytest.mark.usefixtures("_serving")
def test_the_first_state_needs_no_script(client: Client):
    html = page(staff(client, "view_live"))
    for section, key in (("pipelines", "words"), ("pipelines", "chat"), ("workers", ""), ("hosts", "")):
        table = html.partition(f'data-section="{section}"')[2].partition("<template>")[0]
        assert f'data-key="{key}' in table
        assert 'data-state="ready"' in table
    assert 'data-socket="/ws/live/"' in html
    assert '<span data-field="name">words</span>' in html
    assert "style=" not in html.partition('id="live"')[2]
    assert '<script src="' not in html.partition('id="live"')[2]


@pytest.mark.usefixtures("_serving")
def test_messages_requests_and_orders_are_for_those_who_may(client: Client):
    html = page(staff(client, "view_live"))
    assert "validation" in html
    assert not any(text in html for text in (NO_MASK, MESSAGE, "data-order", f'href="{LOG}?q='))
    html = page(staff(client, "view_live", "view_inputs", "view_inferencerequest", "operate_pipelines"))
    assert all(text in html for text in (NO_MASK, MESSAGE, f'href="{LOG}?q='))
    assert f'href="{PAGE}reload/words/"' in html
    assert f'href="{PAGE}drain/' in html


@pytest.mark.usefixtures("_serving")
def test_the_address_of_the_socket_below_a_prefix(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mount, "_prefix", "/inference")
    response = staff(client, "view_live").get(PAGE, SCRIPT_NAME="/proxied")
    assert 'data-socket="/proxied/inference/ws/live/"' in response.content.decode()


def test_who_may_not_see_it(client: Client):
    live = f'href="{PAGE}"'
    index = reverse("admin:index")
    assert live not in staff(client, "view_inferencerequest").get(index).content.decode()
    assert client.get(PAGE).status_code == 403
    assert live in staff(client, "view_live").get(index).content.decode()
    client.logout()
    assert client.get(PAGE).status_code == 302


def test_it_shows_no_row_of_the_log(client: Client):
    row = InferenceRequest.objects.create(
        request_id="a", received_at="2026-01-01T00:00Z", transport="http", status="ok", total_ms=1, preview="a secret"
    )
    for path in (f"{row.pk}/change/", f"{row.pk}/", "add/", f"{row.pk}/delete/", f"{row.pk}/history/"):
        response = staff(client, "view_live").get(PAGE + path)
        assert response.status_code == 404, path


def test_a_process_that_serves_nothing_says_so(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(current_service, "_current", None)
    assert "serves no pipelines" in page(staff(client, "view_live"))


@pytest.mark.usefixtures("_serving")
@pytest.mark.parametrize("order", ORDERS)
def test_an_order_is_asked_for_and_then_given(client: Client, order: str):
    key = HOST if order == "drain" else "words"
    path = f"{PAGE}{order}/{key}/"
    staff(client, "view_live", "operate_pipelines")
    asked = client.get(path).content.decode()
    assert ORDERS[order].explanation in asked
    assert not PipelineControl.objects.exists()
    assert not HostDrain.objects.exists()
    answer = client.post(path, {"unload_first": "on"}, follow=True)
    assert answer.redirect_chain == [(PAGE, 302)]
    assert "ordered" in answer.content.decode()
    if order == "drain":
        assert HostDrain.objects.get().host == HOST
    else:
        row = PipelineControl.objects.get()
        assert (row.pipeline, row.order, row.unload_first) == ("words", order, order == "reload")
    assert LogEntry.objects.get().user.username == "viewer"


@pytest.mark.usefixtures("_serving")
def test_an_order_that_cannot_be_given(client: Client):
    staff(client, "view_live", "operate_pipelines")
    answer = client.post(f"{PAGE}unload/nobody/", follow=True)
    assert "There is no pipeline &#x27;nobody&#x27;" in answer.content.decode()
    assert client.get(f"{PAGE}explode/words/").status_code == 404
    staff(client, "view_live")
    assert client.post(f"{PAGE}unload/words/").status_code == 403
    assert client.get(f"{PAGE}unload/words/").status_code == 403
    assert not PipelineControl.objects.exists()
    forged = Client(enforce_csrf_checks=True)
    staff(forged, "view_live", "operate_pipelines")
    assert forged.post(f"{PAGE}unload/words/").status_code == 403
