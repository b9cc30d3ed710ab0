"""Whatever is done to the audited request log without the secret key is found, and named."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.db.models import F
from django.test import override_settings

from inference.models import AuditChain, InferenceRequest
from inference.request_log.audit import canonical, chain_walk, removal, signing
from inference.request_log.audit.chain_writer import ChainWriter
from inference.request_log.audit.verification import Verification
from inference.request_log.entry import Entry, to_row

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)
OTHER_VALUES: dict[str, Any] = {
    "received_at": NOON - timedelta(days=1), "client": "192.0.2.9", "transport": "websocket", "status": "failed",
    "complete": False,
}  # fmt: skip

pytestmark = pytest.mark.django_db


def entry(number: int, **fields: Any) -> Entry:
    """Received at the n-th minute after noon."""
    known: dict[str, Any] = {
        "request_id": f"r{number}", "received_at": (NOON + timedelta(minutes=number)).timestamp(), "transport": "http",
        "client": "2001:db8::1", "status": "ok", "total_ms": 3, "preview": f"text {number}", "version": "1a2b",
        "queue_ms": 0.1 + number, "pipeline": "bert", "inputs": 1, "parameters": '{"top_k":1}', "answer": "a word",
        "complete": True, "trace_id": f"{number:032x}",
    }  # fmt: skip
    return Entry(**{**known, **fields})


def write(writer: ChainWriter, *numbers: int, gaps: dict[int, int] | None = None) -> None:
    rows = [to_row(entry(number)) for number in numbers]
    with writer.chained(rows, [(gaps or {}).get(number, 0) for number in numbers]):
        InferenceRequest.objects.bulk_create(rows)


@pytest.fixture
def writer() -> ChainWriter:
    """Has written ten rows in two batches, in chain 1."""
    writer = ChainWriter()
    write(writer, *range(1, 6))
    write(writer, *range(6, 11))
    return writer


def findings(**options: Any) -> list[str]:
    return [found for found in Verification(**options).findings() if found is not None]


def row(number: int) -> InferenceRequest:
    return InferenceRequest.objects.get(request_id=f"r{number}")


def named(found: list[str]) -> list[str]:
    """The requests that are named."""
    return re.findall(r"request (r\d+)\)", " ".join(found))


def test_an_untouched_log_is_proved(writer: ChainWriter):
    verification = Verification()
    assert [found for found in verification.findings() if found] == []
    assert (verification.totals.rows, verification.totals.chains) == (10, 1)
    assert verification.heads == {1: (10, row(10).audit_hash)}


def test_pages_have_no_seams(writer: ChainWriter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chain_walk, "PAGE_ROWS", 3)
    assert findings() == []


CHANGEABLE = [f for f in InferenceRequest._meta.concrete_fields if f.attname not in ("id", "audit_erased")]


@pytest.mark.parametrize("field", CHANGEABLE, ids=lambda field: field.attname)
def test_a_change_of_any_column_is_found(writer: ChainWriter, field: "models.Field[Any, Any]"):
    """Those that are added later, too."""
    number = isinstance(field, models.IntegerField | models.FloatField)
    other = OTHER_VALUES.get(field.attname, 77 if number else "x")
    InferenceRequest.objects.filter(pk=row(4).pk).update(**{field.attname: other})
    found = findings()
    assert found
    if field.attname == "request_id":
        assert "row 4 (request x)" in found[0]
    elif field.attname == "audit_chain":
        assert "chain 77, which was never begun" in found[-1]
    elif field.attname == "audit_number":
        assert named(found)[0] == "r5"
    else:
        assert "row 4 (request r4): it was changed" in found[0]


@pytest.mark.parametrize(
    ("removed", "where"),
    [([4], ["r5"]), ([1], ["r2"]), ([2, 3, 4], ["r5"]), ([2, 7], ["r3", "r8"])],
)
def test_removed_rows_are_found(writer: ChainWriter, removed: list[int], where: list[str]):
    InferenceRequest.objects.filter(request_id__in=[f"r{number}" for number in removed]).delete()
    assert named(findings()) == where


def test_removed_rows_are_not_taken_for_dropped_ones(writer: ChainWriter):
    """Their numbers are closed up, or are left open."""
    row(4).delete()
    InferenceRequest.objects.filter(audit_number__gt=4).order_by("audit_number").update(
        audit_number=F("audit_number") - 1
    )
    assert named(findings())


@pytest.mark.parametrize("head", ["left", "set back", "set back and signed by nobody"])
def test_a_removed_end_is_found(writer: ChainWriter, head: str):
    InferenceRequest.objects.filter(audit_number__gt=7).delete()
    if head != "left":
        changed = {"head_number": 7, "head_hash": row(7).audit_hash}
        AuditChain.objects.filter(number=1).update(**changed)
    if head == "set back and signed by nobody":
        AuditChain.objects.filter(number=1).update(head_signature="0" * 64)
    expected = "its end was removed; row 10 is missing" if head == "left" else "its head was changed"
    assert expected in " ".join(findings())


def test_an_inserted_row_is_found(writer: ChainWriter):
    """In a chain, before it, after it, and in none."""
    InferenceRequest.objects.filter(request_id="r3").update(audit_number=None, audit_chain=None)
    forged = to_row(entry(3, preview="another"))
    forged.audit_chain, forged.audit_number = 1, 3
    forged.audit_hash, forged.audit_salt = row(3).audit_hash, row(3).audit_salt
    forged.save()
    found = " ".join(findings())
    assert "row 3 (request r3): it was changed or inserted" in found
    for place in (-1, 0, 11, None):
        InferenceRequest.objects.filter(pk=forged.pk).update(audit_number=place, request_id="r99")
        assert f"row {place} (request r99)" in " ".join(findings()), place


def test_a_row_of_no_chain_is_found(writer: ChainWriter):
    AuditChain.objects.update(begun_at=F("begun_at"))
    later = AuditChain.objects.get(number=1).begun_at + timedelta(seconds=1)
    to_row(entry(50, received_at=later.timestamp())).save()
    to_row(entry(51, received_at=(later - timedelta(days=1)).timestamp())).save()  # before there was an audit
    assert [re.findall(r"Request (r\d+) .* is in no chain", found) for found in findings()] == [["r50"]]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="its schema can be changed in a transaction of a test")
def test_a_second_row_of_a_number_is_found(writer: ChainWriter, monkeypatch: pytest.MonkeyPatch):
    """Also where it begins a page, by somebody who has removed the constraint."""
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX inference_request_audit")
    double = row(4)
    double.pk = None
    double.save()
    for rows in (1, 2, 3, 4, 5, 100):
        monkeypatch.setattr(chain_walk, "PAGE_ROWS", rows)
        assert named(findings()) == ["r4"], rows


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases have types")
@pytest.mark.parametrize("column", ["total_ms", "inputs", "client", "times_sent"])
def test_a_value_of_another_type_is_found(writer: ChainWriter, column: str):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE inference_inferencerequest SET {column} = 'x' WHERE request_id = 'r4'")  # noqa: S608
    assert named(findings()) == ["r4"]


def test_swapped_texts_are_found(writer: ChainWriter):
    one, two = row(4), row(5)
    swap = {"preview": two.preview, "audit_salt": two.audit_salt}
    InferenceRequest.objects.filter(pk=one.pk).update(**swap)
    assert named(findings())[0] == "r4"


# Chains


def test_each_writer_has_a_chain(writer: ChainWriter):
    other = ChainWriter()
    write(other, 21, 22)
    write(writer, 11)
    write(other, 23)
    assert findings() == []
    assert sorted(AuditChain.objects.values_list("number", "head_number")) == [(0, 2), (1, 11), (2, 3)]


@pytest.mark.parametrize("removed", [1, 2, 3])
def test_a_removed_chain_is_found(writer: ChainWriter, removed: int):
    for first in (21, 31):
        write(ChainWriter(), first)
    InferenceRequest.objects.filter(audit_chain=removed).delete()
    AuditChain.objects.filter(number=removed).delete()
    assert f"Chain {removed} was removed." in findings()


def test_a_registry_that_was_set_back_is_found(writer: ChainWriter):
    write(ChainWriter(), 21)
    InferenceRequest.objects.filter(audit_chain=2).delete()
    AuditChain.objects.filter(number=2).delete()
    AuditChain.objects.filter(number=0).update(head_number=1, head_hash=AuditChain.objects.get(number=1).opening)
    assert "The registry of chains was changed, or signed with another DJANGO_SECRET_KEY." in findings()
    AuditChain.objects.filter(number=0).delete()
    assert "The registry of chains was removed." in findings()


def test_an_old_head_that_is_put_back_is_found_by_the_chains_that_began_later(writer: ChainWriter):
    old = AuditChain.objects.filter(number=1).values().get()
    write(writer, 11, 12)
    write(ChainWriter(), 21)
    InferenceRequest.objects.filter(request_id__in=["r11", "r12"]).delete()
    AuditChain.objects.filter(number=1).update(**{n: v for n, v in old.items() if n != "id"})
    assert findings() == ["Chain 1: its end was removed; row 12 is missing."]


def test_an_old_head_that_is_put_back_is_found_by_its_writer(writer: ChainWriter):
    old = AuditChain.objects.filter(number=1).values().get()
    write(writer, 11)
    row(11).delete()
    AuditChain.objects.filter(number=1).update(**{n: v for n, v in old.items() if n != "id"})
    assert findings() == [], "the database alone does not show it"
    with pytest.raises(Exception, match="the audit chain 1 is not as this process left it"):
        write(writer, 12)
    write(writer, 12)
    assert row(12).audit_chain == 2
    assert findings() == ["Chain 1: its end was removed; row 11 is missing."]


def test_a_database_that_was_set_back_is_found_by_a_checkpoint(writer: ChainWriter, tmp_path: Path):
    file = tmp_path / "heads.json"
    assert verify("--checkpoint", str(file)) == 0
    write(writer, 11)
    assert verify("--checkpoint", str(file)) == 0
    InferenceRequest.objects.all().delete()
    AuditChain.objects.all().delete()
    write(ChainWriter(), 1)
    assert findings() == []
    before = file.read_text()
    assert verify("--checkpoint", str(file)) == 1
    assert file.read_text() == before


def test_the_opening_and_the_notes_are_signed(writer: ChainWriter):
    for change, words in (
        ({"witnessed": {"9": [1, "x"]}}, "The opening of chain 1 was changed"),
        ({"begun_at": NOON}, "The opening of chain 1 was changed"),
        ({"pruned_number": 4, "pruned_hash": row(4).audit_hash}, "the note of what was pruned was changed"),
    ):
        old = AuditChain.objects.filter(number=1).values(*change).get()
        AuditChain.objects.filter(number=1).update(**change)
        assert words in " ".join(findings())
        AuditChain.objects.filter(number=1).update(**old)
    assert findings() == []


# Keys


def test_another_secret_key_proves_nothing(writer: ChainWriter, settings: Any):
    old = settings.SECRET_KEY
    with override_settings(SECRET_KEY="another"):
        assert "signed with another DJANGO_SECRET_KEY" in findings()[0]
        with override_settings(SECRET_KEY_FALLBACKS=[old]):
            assert findings() == []
            write(ChainWriter(), 21)
            assert findings() == []


# Dropped requests, and doubtful commits


def test_dropped_requests_are_a_gap_that_the_chain_states(writer: ChainWriter):
    write(writer, 11, 12, gaps={12: 7})
    verification = Verification()
    assert [found for found in verification.findings() if found] == []
    assert (verification.totals.dropped, row(12).audit_number) == (7, 19)


def test_a_failed_batch_leaves_nothing_and_is_written_again(writer: ChainWriter):
    rows = [to_row(entry(11))]
    with pytest.raises(ZeroDivisionError), writer.chained(rows, [0]):
        InferenceRequest.objects.bulk_create([*rows, 1 / 0])  # type: ignore[list-item]
    assert not writer.is_written()
    write(writer, 11, 12)
    assert findings() == []
    assert row(12).audit_number == 12


def test_a_batch_whose_commit_was_not_confirmed_is_written_once(writer: ChainWriter, monkeypatch: pytest.MonkeyPatch):
    update = ChainWriter._advance

    class Lost(Exception): ...

    commit = chain_commit_lost(Lost)
    with monkeypatch.context() as patched:
        patched.setattr("inference.request_log.audit.chain_writer.transaction", commit)
        with pytest.raises(Lost):
            write(writer, 11, 12)
    assert ChainWriter._advance is update
    assert writer.is_written()
    write(writer, 13)
    assert findings() == []
    assert InferenceRequest.objects.count() == 13


def chain_commit_lost(error: type[Exception]) -> Any:
    """``transaction`` whose blocks commit, and then lose the connection."""
    from contextlib import contextmanager  # noqa: PLC0415

    class Transaction:
        @staticmethod
        @contextmanager
        def atomic(**_: Any) -> Any:
            yield
            raise error

    return Transaction


# Pruning and erasing


def test_pruning_leaves_a_note_from_which_the_chain_goes_on(writer: ChainWriter):
    write(ChainWriter(), 21, 22)
    condition = models.Q(received_at__lt=NOON + timedelta(minutes=5))
    assert sum(removal.prune(condition)) == 4
    assert findings() == []
    chain = AuditChain.objects.get(number=1)
    assert (chain.pruned_number, chain.pruned_rows) == (4, 4)
    assert sum(removal.prune(models.Q(received_at__lt=NOON + timedelta(days=1)))) == 8
    assert findings() == []
    write(writer, 11)
    assert findings() == []
    row(11).delete()
    assert findings() == ["Chain 1: its end was removed; row 11 is missing."]


def test_a_row_behind_one_that_stays_is_not_pruned():
    writer = ChainWriter()
    write(writer, 1, 9, 2, 3)
    assert sum(removal.prune(models.Q(received_at__lt=NOON + timedelta(minutes=5)))) == 1
    assert findings() == []
    assert InferenceRequest.objects.count() == 3


def test_pruning_in_chunks(writer: ChainWriter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(removal, "CHUNK_ROWS", 3)
    assert list(removal.prune(models.Q(received_at__lt=NOON + timedelta(minutes=9)))) == [3, 3, 2]
    assert findings() == []


def test_rows_may_be_pruned_while_they_are_verified(writer: ChainWriter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chain_walk, "PAGE_ROWS", 2)
    found: list[str | None] = []
    for finding in Verification().findings():
        found.append(finding)
        if len(found) == 1:
            assert sum(removal.prune(models.Q(received_at__lt=NOON + timedelta(minutes=8)))) == 7
    assert not any(found)


def test_erased_texts_are_gone_and_the_chain_is_whole(writer: ChainWriter):
    assert sum(removal.erase(InferenceRequest.objects.filter(request_id__in=["r4", "r5"]))) == 2
    assert sum(removal.erase(InferenceRequest.objects.filter(request_id__in=["r4"]))) == 0, "once"
    erased = row(4)
    assert (erased.preview, erased.message, erased.client, erased.audit_salt) == ("", "", None, "")
    assert (erased.parameters, erased.answer) == ("", "")
    assert (erased.status, erased.version) == ("ok", "1a2b")
    verification = Verification()
    assert [found for found in verification.findings() if found] == []
    assert verification.totals.erased == 2
    InferenceRequest.objects.filter(pk=erased.pk).update(preview="another text")
    assert named(findings()) == ["r4"]


def test_texts_that_somebody_else_removes_are_missed(writer: ChainWriter):
    removal_of_somebody = {**dict.fromkeys(canonical.ERASABLE, ""), "client": None, "audit_salt": ""}
    digest = canonical.erasable_digest(row(4).__dict__)
    InferenceRequest.objects.filter(request_id="r4").update(**removal_of_somebody)
    assert named(findings()) == ["r4"]
    InferenceRequest.objects.filter(request_id="r4").update(audit_erased=f"{digest} now {'0' * 64}")
    assert "texts were removed without a signed note" in findings()[0]


# The form of a row


def test_a_new_column_changes_no_hash(writer: ChainWriter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(canonical._HASHED, "newer", str)
    monkeypatch.setitem(canonical._DEFAULTS, "newer", "")
    covered = canonical.covered({**row(4).__dict__, "newer": ""}, "")
    monkeypatch.undo()
    assert covered == canonical.covered(row(4).__dict__, "")


def test_the_form_of_a_row_does_not_change():
    """If this fails, logs that were written before cannot be verified any more: see ``canonical.FORMAT``."""
    newer: dict[str, Any] = {"parameters": "", "answer": "", "complete": False, "trace_id": None}
    stored = to_row(entry(7, message="no", count=2, preview='"é\n', client="::ffff:192.0.2.1", **newer))
    stored.audit_chain, stored.audit_number, stored.audit_salt = 3, 9, "ab" * 16
    digest = canonical.erasable_digest(stored.__dict__)
    assert digest == "b9d39e9789f1d48641e7b64b7e16b8688f602ed71bd33bea516516a7a5c83f4b"
    assert canonical.covered(stored.__dict__, digest).decode() == (
        '[3,9,"' + digest + '",{"count":2,"inputs":1,"pipeline":"bert","queue_ms":7.1,'
        '"received_at":"2027-03-14T12:07:00.000000+00:00","request_id":"r7","status":"ok","total_ms":3.0,'
        '"transport":"http","version":"1a2b"}]'
    )
    assert digest == "b9d39e9789f1d48641e7b64b7e16b8688f602ed71bd33bea516516a7a5c83f4b"
    assert (
        signing.Signer("secret").row("0" * 64, b"row")
        == "4a46ec43df427aaf8d9fdbfde715d947797ecec8bb6f9c349b635ce605e1bb69"
    )


# The command


def verify(*arguments: str, out: StringIO | None = None) -> int:
    try:
        call_command("verify_audit", *arguments, stdout=out or StringIO(), stderr=StringIO())
    except CommandError as error:
        return error.returncode
    return 0


def test_the_command_says_what_it_found(writer: ChainWriter):
    out = StringIO()
    assert verify(out=out) == 0
    assert "10 rows in 1 chains verified" in out.getvalue()
    row(4).delete()
    assert verify(out=out) == 1
    assert "row 5 (request r5)" in out.getvalue()


def test_without_a_chain_nothing_is_proved():
    assert verify() == 1


@pytest.mark.parametrize(
    ("touched", "arguments", "code"),
    [
        (2, ("--from", "2027-03-14T12:04"), 0),
        (4, ("--from", "2027-03-14T12:04"), 1),
        (8, ("--to", "2027-03-14T12:06"), 0),
        (6, ("--to", "2027-03-14T12:06"), 1),
        (5, ("--from", "2027-03-14T12:04", "--to", "2027-03-14T12:06"), 1),
        (2, ("--from", "2027-03-15"), 0),
        (2, ("--to", "2027-03-14"), 1),
    ],
)
def test_a_period_is_verified(writer: ChainWriter, touched: int, arguments: tuple[str, ...], code: int):
    InferenceRequest.objects.filter(request_id=f"r{touched}").update(preview="changed")
    assert verify(*arguments) == code


@pytest.mark.parametrize("removed", [4, 5, 6])
def test_a_row_removed_from_a_period_is_found(writer: ChainWriter, removed: int):
    row(removed).delete()
    assert verify("--from", "2027-03-14T12:04", "--to", "2027-03-14T12:06") == 1


def test_impossible_arguments(tmp_path: Path, writer: ChainWriter):
    with pytest.raises(CommandError, match="must be a time like 2027-01-31"):
        call_command("verify_audit", "--from", "yesterday")
    broken = tmp_path / "broken"
    broken.write_text("[1]")
    with pytest.raises(CommandError, match="must be a file that this command wrote"):
        call_command("verify_audit", "--checkpoint", str(broken))
