"""Far more is asked than can be answered: who is refused, how fast, and who is answered as before.

`wrk` offers the load: many connections that pause so long that together they ask several times what
was answered at saturation. Beside it `OpenLoop` asks little, and sees what any client sees, before,
meanwhile and after. Both share the machine with the server; what they take is told.
"""

import time
from dataclasses import dataclass, replace

from benchmarks.serving.load import Load, measure
from benchmarks.serving.open_loop import OpenLoop, Seen, percentile_ms

FLOODING = 1000
"""Connections of the flood."""
PROBES_PER_S = 150
AFTER_S = 10
_REFUSED_AFTER_S = 0.05
_SETTLED_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Overloaded:
    """What clients notice of too much load.

    Attributes:
        saturated_per_s: Answers at saturation.
        saturated_p99_ms: Of answers then, as the probe sees them.
        factor: What was offered, as a multiple of `saturated_per_s`.
        accepted_per_s: Answers under the overload.
        refused_share: Of what was offered.
        refused_p50_ms: Time of a refusal.
        accepted_p50_ms: Time of an answer.
        accepted_p99_ms: Time of an answer.
        accepted_degraded_share: Of the answers, made in a simpler way to be in time.
        wrong_answers: Anything but 200, and 503 with problem details and Retry-After, at any time.
        recovery_s: From the end of the overload to the first second in which 99 in 100 are answered
            as fast as at saturation; `AFTER_S` where there was none until then.
        client_cpus: Cores that the client of the overload kept busy.
        probe_cpus: Cores that the probe kept busy.
        num_probes: Requests of the probe under the overload.
    """

    saturated_per_s: float
    saturated_p99_ms: float
    factor: float
    accepted_per_s: float
    refused_share: float
    refused_p50_ms: float
    accepted_p50_ms: float
    accepted_p99_ms: float
    accepted_degraded_share: float
    wrong_answers: int
    recovery_s: float
    client_cpus: float
    probe_cpus: float
    num_probes: int

    @property
    def p99_ratio(self) -> float:
        """How much slower the slowest answers are than at saturation."""
        return self.accepted_p99_ms / self.saturated_p99_ms


def overload(url: str, load: Load, *, factor: float = 5.0) -> Overloaded:
    """Ask a server several times what it can answer.

    Args:
        url: Of the server.
        load: That saturates it; the overload takes as long.
        factor: What is offered, as a multiple of what is answered when saturated.

    Raises:
        RuntimeError: If nobody was refused, or all were.
    """
    measure(url, replace(load, duration_s=2, seed=999), may_refuse=True)  # Warms up.
    started = time.monotonic()
    with OpenLoop(url, num_users=load.num_users, per_second=PROBES_PER_S) as probe:
        saturated = measure(url, load, may_refuse=True)
        saturated_till = time.monotonic()
        time.sleep(_SETTLED_S)
        pause_s = FLOODING / (factor * saturated.requests_per_s) - _REFUSED_AFTER_S
        pausing = replace(load, connections=FLOODING, mean_pause_ms=1000 * max(pause_s, 0.001))
        flooded_from = time.monotonic()
        flood = measure(url, pausing, may_refuse=True)
        flooded_till = time.monotonic()
        time.sleep(AFTER_S)
    took_s = time.monotonic() - started
    before = _answers(probe.between(started, saturated_till))
    meanwhile = probe.between(flooded_from, flooded_till)
    accepted, refused = _answers(meanwhile), [seen for seen in meanwhile if seen.status == 503]
    if not accepted or not refused:
        told = f"{len(accepted)} of {len(meanwhile)} were answered, {len(refused)} refused"
        raise RuntimeError(f"that was no overload that can be measured: {told}")
    usual_ms = percentile_ms(before, 99)
    offered_per_s = flood.requests_per_s + flood.refused_per_s
    return Overloaded(
        saturated_per_s=saturated.requests_per_s,
        saturated_p99_ms=usual_ms,
        factor=offered_per_s / saturated.requests_per_s,
        accepted_per_s=flood.requests_per_s,
        refused_share=flood.refused_per_s / offered_per_s,
        refused_p50_ms=percentile_ms(refused, 50),
        accepted_p50_ms=percentile_ms(accepted, 50),
        accepted_p99_ms=percentile_ms(accepted, 99),
        accepted_degraded_share=sum(seen.is_degraded for seen in accepted) / len(accepted),
        wrong_answers=sum(not seen.is_right for seen in probe.seen),
        recovery_s=_recovery_s(probe, flooded_till, usual_ms),
        client_cpus=flood.client_cpus,
        probe_cpus=probe.cpu_s / took_s,
        num_probes=len(meanwhile),
    )


def _answers(seen: list[Seen]) -> list[Seen]:
    return [each for each in seen if each.status == 200]


def _recovery_s(probe: OpenLoop, since: float, usual_ms: float) -> float:
    for step in range(10 * (AFTER_S - 1)):
        second = probe.between(since + step / 10, since + step / 10 + 1)
        good = [seen for seen in _answers(second) if 1000 * seen.took_s <= usual_ms]
        if second and len(good) >= 0.99 * len(second):
            return step / 10
    return float(AFTER_S)
