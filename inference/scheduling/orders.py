"""What a web process tells the hosts of what operators want (rules 17 and 19)."""

from collections.abc import Iterable, Iterator, Mapping

from inference.control.desired import Desired, Wish
from inference.messaging.messages import Order
from inference.scheduling.host_registry import HostView, WorkerView
from inference.scheduling.served_pipeline import ServedPipeline

Wanted = tuple[tuple[Order, ...], tuple[str, ...]]
"""The newest order of each pipeline of which anything was ever ordered, and the hosts that are to end."""


def wanted(desired: Desired, pipelines: Mapping[str, ServedPipeline], hosts: Iterable[HostView]) -> Wanted:
    drained = desired.drained
    return tuple(_orders(desired, pipelines)), tuple(host.id for host in hosts if host.id in drained)


def _orders(desired: Desired, pipelines: Mapping[str, ServedPipeline]) -> Iterator[Order]:
    now = desired.clock()
    for name, wish in desired.pipelines.items():
        if served := pipelines.get(name):
            turn = turn_of(wish, served.workers.values()) if wish.order == "reload" else ""
            yield Order(name, wish.generation, wish.order, max(0.0, now - wish.at), wish.unload_first, turn)


def turn_of(wish: Wish, workers: Iterable[WorkerView]) -> str:
    """The host that may reload the pipeline: one at a time, and no other where one has been left without it.

    Web processes that see different hosts may name different ones; that costs speed and nothing else.
    """
    following = [worker for worker in workers if worker.generation is not None]
    under_way = {worker.host.id for worker in following if worker.state in ("starting", "draining", "unloaded")}
    if under_way:
        return min(under_way)
    if wish.unload_first and any(w.state == "failed" and w.generation == wish.generation for w in following):
        return ""
    ready = (worker for worker in following if worker.state == "ready")
    return min((w.host.id for w in ready if (w.generation or 0) < wish.generation), default="")
