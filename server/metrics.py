"""The figures in Prometheus' words: what Redis holds is read when asked for, and requests counted.

Queues and jobs are the same in every replica's answer; requests are this process's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from contract.engine_status import EngineMemory
from contract.figures import Figures, Histogram
from contract.queues import Kind
from server.queue import Depth

Key = TypeVar("Key")


@dataclass(frozen=True)
class Load:
    """All queues, and what became of the jobs so far."""

    depths: dict[Kind, Depth]
    figures: Figures


class Metrics:
    """The requests of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "univigu_http_requests",
            "Requests answered by this process",
            ("method", "route", "status"),
            registry=self._registry,
        )

    def count(self, method: str, route: str, status: int) -> None:
        """Count an answered request; `route` is the path with its parameters unfilled."""
        self._requests.labels(method, route, str(status)).inc()

    def render(self, load: Load, memory: dict[str, EngineMemory]) -> bytes:
        """Return the exposition text; `memory` is that of each engine, by worker."""
        registry = CollectorRegistry()
        registry.register(_OfLoad(load))
        registry.register(_OfMemory(memory))
        return generate_latest(registry) + generate_latest(self._registry)


class _OfLoad(Collector):
    def __init__(self, load: Load) -> None:
        self._load = load

    def collect(self) -> Iterable[Metric]:
        yield _depths(self._load)
        yield _ended(self._load)
        figures = self._load.figures
        for name, help_text, labels, histograms in (
            ("wait", "From creation to the first start", ("kind",), figures.wait),
            ("run", "From the first start to completion", ("kind",), figures.run),
        ):
            yield _histograms(name, help_text, labels, histograms, lambda kind: [kind])
        yield _histograms(
            "stage", "One stage of completed jobs", ("kind", "stage"), figures.stage, list
        )


class _OfMemory(Collector):
    def __init__(self, memory: dict[str, EngineMemory]) -> None:
        self._memory = memory

    def collect(self) -> Iterable[Metric]:
        for name, help_text in (
            ("used", "What an engine uses of its device"),
            ("peak", "The most that an engine has used of its device"),
            ("budget", "What the jobs of an engine may take together"),
        ):
            gauge = GaugeMetricFamily(
                f"univigu_engine_memory_{name}_bytes", help_text, labels=("worker",)
            )
            for worker, memory in self._memory.items():
                gauge.add_metric((worker,), getattr(memory, name))
            yield gauge


def _depths(load: Load) -> Metric:
    gauge = GaugeMetricFamily("univigu_queue_jobs", "Jobs by state", labels=("kind", "state"))
    for kind, depth in load.depths.items():
        gauge.add_metric((kind, "waiting"), depth.waiting)
        gauge.add_metric((kind, "running"), depth.running)
    return gauge


def _ended(load: Load) -> Metric:
    labels = ("kind", "status", "code")
    counter = CounterMetricFamily("univigu_jobs_ended", "Jobs by how they ended", labels=labels)
    for names, count in sorted(load.figures.ended.items()):
        counter.add_metric(names, count)
    return counter


def _histograms(
    name: str,
    help_text: str,
    labels: tuple[str, ...],
    histograms: dict[Key, Histogram],
    values: Callable[[Key], list[str]],
) -> Metric:
    family = HistogramMetricFamily(f"univigu_job_{name}_seconds", help_text, labels=labels)
    for key, histogram in histograms.items():
        family.add_metric(values(key), histogram.cumulated(), sum_value=histogram.sum)
    return family
