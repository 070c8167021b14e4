"""How HAProxy is run in front of the replicas: settings for Ray, and a wrapper around its program.

Ray writes HAProxy's configuration from a fixed template that opens its statistics to the whole
network, logs each request to syslog, and answers in plain text where no replica does. The wrapper
stands for the program: it corrects the configuration, then becomes HAProxy.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import orjson

from serving.request_guard import ARRIVAL_HEADER, DRAINED_BYTES

_WRAPPER = "haproxy.sh"
_CONFIG = "haproxy.cfg"
_PROBLEMS = {
    400: ("Bad Request", "bad-request", "The request cannot be read", 400),
    408: ("Request Timeout", "timeout", "The request came too slowly", 408),
    413: ("Content Too Large", "body-too-large", "The body is too large", 413),
    502: ("Service Unavailable", "unavailable", "No replica answers", 503),
    503: ("Service Unavailable", "unavailable", "No replica answers", 503),
    504: ("Service Unavailable", "unavailable", "No replica answers", 503),
}
_METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT"
# As `serving.request_guard` takes it from clients.
_REQUEST_ID = "req.hdr(x-request-id) -m reg ^[!-~]{1,128}$"
_IN_FRONT = r"\n".join(
    f"    {line}"
    for line in (
        # What is refused here carries an id, too.
        f"http-request set-header x-request-id %[uuid()] unless {{ {_REQUEST_ID} }}",
        "http-request set-var(txn.request_id) req.hdr(x-request-id)",
        "http-after-response set-header X-Request-ID %[var(txn.request_id)]"
        " if { var(txn.request_id) -m found }",
        # The first leads to no replica, the second is answered by them without problem details.
        "http-request return status 400 default-errorfiles if !{ path_beg / }",
        f"http-request return status 400 default-errorfiles if !{{ method {_METHODS} }}",
        # Nobody would read such a body to its end; more digits are no number for HAProxy.
        "http-request return status 413 default-errorfiles"
        f" if {{ req.hdr_val(content-length) gt {DRAINED_BYTES} }}"
        " or { req.hdr(content-length),length gt 9 }",
        # A body that comes slowly takes no replica's time; and only what is here can be replayed.
        "http-request wait-for-body time 10s",
        # Replicas count from here on how long a request took.
        f"http-request set-header {ARRIVAL_HEADER} %[date(0,us)]",
    )
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is let through to a replica.

    Attributes:
        in_flight: Requests that a replica has at once; more wait.
        wait_ms: A request that waited so long is answered with 503.
    """

    in_flight: int
    wait_ms: int


def prepare_haproxy(folder: Path, binary: str, limits: Limits) -> dict[str, str]:
    """Write the wrapper and the error pages, and return the environment that makes Ray use them.

    Args:
        folder: Of this run alone: configuration, sockets and error pages lie there.
        binary: The program itself.
        limits: How much is let through. What is refused costs the replicas nothing.

    Returns:
        Environment variables to set before Ray starts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    edits = [
        # Two ports that nobody asks, and that something else on this machine may hold.
        "/^frontend prometheus$/,/^ *no log$/d",
        "/^listen stats$/,/^ *stats refresh /d",
        # No application is there: while starting and while stopping.
        r"s|^\( *http-request return\) status 404 .*|\1 status 503 default-errorfiles|",
        # Ray's own proxy, the last resort without a replica, answers in plain text and with 404.
        r"/^ *server SERVE_PROXY_ACTOR-fallback/d",
        r"/^ *log .* local0 info$/d",
        r"/^ *option httplog$/d",
        r"/^ *option log-health-checks$/d",
        rf"s|^\( *server [^ ]* [^ ]* check\)|\1 maxconn {limits.in_flight}|",
        rf"s|^frontend http_frontend$|&\n{_IN_FRONT}|",
    ]
    pages = []
    for status in _PROBLEMS:
        page = folder / f"{status}.problem.http"
        page.write_bytes(_problem_page(status))
        edits.append(f"/^ *errorfile {status} /d")
        pages.append(f"    errorfile {status} {page}")
    joined = r"\n".join(pages)
    # Of what is buffered; a replica sees to it that the rest of a long body comes in time.
    limited = rf"timeout http-request 10s\n    timeout queue {limits.wait_ms}ms"
    edits.append(rf"s|^defaults$|defaults\n    {limited}\n{joined}|")
    wrapper = folder / _WRAPPER
    wrapper.write_text(_script(binary, edits))
    wrapper.chmod(0o700)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout",
        "RAY_SERVE_HAPROXY_RETRIES": "3",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / _CONFIG),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "75",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        # How long a replica waits for load balancers outside to notice that it goes. Ours is told.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }


def _problem_page(status: int) -> bytes:
    reason, slug, title, answered = _PROBLEMS[status]
    body = orjson.dumps(
        {
            "type": f"urn:sentirec:problem:{slug}",
            "title": title,
            "status": answered,
            "detail": "send the request again in a moment" if answered == 503 else title,
        }
    )
    retry = "Retry-After: 1\r\n" if answered == 503 else ""
    head = (
        f"HTTP/1.1 {answered} {reason}\r\nContent-Type: application/problem+json\r\n"
        f"Cache-Control: no-store\r\n{retry}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _script(binary: str, edits: list[str]) -> str:
    """Write the wrapper; Ray names the configuration, in a folder of the node's id, after -f."""
    arguments = " ".join(f"-e {shlex.quote(edit)}" for edit in edits)
    return f"""#!/bin/sh
previous=
for argument in "$@"; do
  if [ "$previous" = -f ]; then
    sed -i {arguments} "$argument" || exit 1
  fi
  previous=$argument
done
exec {shlex.quote(binary)} "$@"
"""
