"""What workers reply about jobs: events on the way, and one closing entry for each.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import logging
from collections import Counter

from inference.errors import Internal, from_worker
from inference.messaging.messages import Cleared, Closing, Error, Event, Replies, Result, Returned, Started, Token
from inference.scheduling.assignment import Assigner
from inference.scheduling.calls import Answer, PendingJob
from inference.scheduling.host_registry import HostRegistry, HostView, WorkerView
from inference.scheduling.served_pipeline import ServedPipeline

logger = logging.getLogger(__name__)


class ReplyHandler:
    """Applies the replies of hosts to the jobs that they are about.

    Args:
        jobs: all jobs without an answer, by id; answered ones are removed.
        pipelines: by name.
    """

    def __init__(
        self,
        jobs: dict[int, PendingJob],
        registry: HostRegistry,
        pipelines: dict[str, ServedPipeline],
        assigner: Assigner,
    ) -> None:
        self._jobs = jobs
        self._registry = registry
        self._pipelines = pipelines
        self._assigner = assigner

    def handle(self, host: HostView | None, replies: Replies) -> Counter[WorkerView]:
        """Returns the number of answers by worker.

        ``host`` is ``None`` if it is not known, or not any more; its results count all the same (rule 4).
        """
        answered: Counter[WorkerView] = Counter()
        for entry in replies.entries:
            try:
                if worker := self._handle_entry(host, replies.host, entry):
                    answered[worker] += 1
            except Exception:
                logger.exception("A reply to job %d could not be passed on", entry.id)
                if job := self._jobs.get(entry.id):  # the other entries are of other clients
                    job.call.fail(Internal("This server has a bug; its log has the details."))
        return answered

    def _handle_entry(self, host: HostView | None, host_id: str, entry: Event | Closing) -> WorkerView | None:
        match entry:
            case Started():
                self._on_started(host, entry)
            case Token():
                self._on_token(host, entry)
            case Cleared():
                self._on_cleared(host, entry)
            case _:
                return self._on_closing(host, host_id, entry)
        return None

    def _on_started(self, host: HostView | None, event: Started) -> None:
        job = self._jobs.get(event.id)
        record = host.records.get(event.id) if host else None
        if job is None or record is None or host is None:
            return
        if job.alone:
            record.go_sent = True
            host.pending_go.append(event.id)
        if job.call.events.started is not None and job.wanted:
            job.call.events.started(event)

    def _on_cleared(self, host: HostView | None, event: Cleared) -> None:
        """Rule 14: the host may be lost from now on because of any job there."""
        job = self._jobs.get(event.id)
        record = host.records.get(event.id) if host else None
        if job is not None and record is not None:
            record.go_sent = job.alone = False

    def _on_token(self, host: HostView | None, event: Token) -> None:
        """Rule 12."""
        job = self._jobs.get(event.id)
        if host is None or event.id not in host.records or job is None or not job.wanted:
            return
        if not job.accept_token(event):
            host.pending_cancel.add(event.id)

    def _on_closing(self, host: HostView | None, host_id: str, entry: Closing) -> WorkerView | None:
        record = None
        if host is not None:
            record = self._registry.drop_record(host, entry.id)
            host.pending_cancel.discard(entry.id)
        worker = record.worker if record else None
        job = self._jobs.get(entry.id)
        counts = None if isinstance(entry, Returned) else worker
        if job is None or not job.wanted:
            return counts
        match entry:
            case Result() if job.completed_by(entry):
                waited_ms = (job.sent_at - job.call.work.admitted_at) * 1000
                self._forget(job)
                job.call.answer(job, Answer(entry, worker.id if worker else host_id, waited_ms, job.times_sent))
            case Error():
                if job.call.work.partial:
                    self._forget(job)
                job.call.fail(from_worker(entry.code, entry.message), job)
            case _:  # returned, or tokens are missing
                if worker is not None:
                    worker.closed = True
                self._assigner.put_back([job])
        return counts

    def _forget(self, job: PendingJob) -> None:
        """Of a job that is answered; others of its call may still wait."""
        own = self._pipelines[job.call.work.pipeline]
        own.withdraw(job)  # it may have been sent again, and be answered by the worker that had it first
        del self._jobs[job.job_id]
        own.pending -= 1
