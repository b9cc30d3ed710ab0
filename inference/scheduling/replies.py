"""What workers reply about jobs: events on the way, and one closing entry for each.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import logging

from inference.errors import Internal, from_worker
from inference.messaging.messages import Closing, Error, Event, Replies, Result, Started, Token
from inference.scheduling.assignment import Assigner
from inference.scheduling.calls import Answer, PendingJob
from inference.scheduling.worker_registry import WorkerView

logger = logging.getLogger(__name__)


class ReplyHandler:
    """Applies the replies of workers to the jobs that they are about.

    Args:
        jobs: all jobs without an answer, by id; answered ones are removed.
    """

    def __init__(self, jobs: dict[int, PendingJob], assigner: Assigner) -> None:
        self._jobs = jobs
        self._assigner = assigner

    def handle(self, worker: WorkerView | None, replies: Replies) -> None:
        """``worker`` is ``None`` if it is not known, or not any more; its results count all the same (rule 4)."""
        for entry in replies.entries:
            try:
                self._handle_entry(worker, replies.worker, entry)
            except Exception:
                logger.exception("A reply to job %d could not be passed on", entry.id)
                if job := self._jobs.get(entry.id):  # the other entries are of other clients
                    job.call.fail(Internal("This server has a bug; its log has the details."))

    def _handle_entry(self, worker: WorkerView | None, worker_id: str, entry: Event | Closing) -> None:
        if isinstance(entry, Started):
            self._on_started(worker, entry)
        elif isinstance(entry, Token):
            self._on_token(worker, entry)
        else:
            self._on_closing(worker, worker_id, entry)

    def _on_started(self, worker: WorkerView | None, event: Started) -> None:
        job = self._jobs.get(event.id)
        record = worker.records.get(event.id) if worker else None
        if job is None or record is None or worker is None:
            return
        if job.alone:
            record.go_sent = True
            worker.pending_go.append(event.id)
        if job.call.events.started is not None and job.wanted:
            job.call.events.started(event)

    def _on_token(self, worker: WorkerView | None, event: Token) -> None:
        """Rule 12."""
        job = self._jobs.get(event.id)
        if worker is None or event.id not in worker.records or job is None or not job.wanted:
            return
        if not job.accept_token(event):
            worker.pending_cancel.add(event.id)

    def _on_closing(self, worker: WorkerView | None, worker_id: str, entry: Closing) -> None:
        if worker is not None:
            worker.records.pop(entry.id, None)
            worker.pending_cancel.discard(entry.id)
        job = self._jobs.get(entry.id)
        if job is None or not job.wanted:
            return
        match entry:
            case Result() if job.completed_by(entry):
                waited_ms = (job.sent_at - job.call.work.admitted_at) * 1000
                # It may have been sent again, and be answered by the worker that had it first.
                self._assigner.withdraw(job)
                job.call.answer(job, Answer(entry, worker_id, waited_ms, job.times_sent))
                del self._jobs[entry.id]  # others of its call may still wait
            case Error():
                job.call.fail(from_worker(entry.code, entry.message), job)
            case _:  # returned, or tokens are missing
                if worker is not None:
                    worker.closed = True
                self._assigner.put_back([job])
