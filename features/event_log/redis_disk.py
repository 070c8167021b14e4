"""What the Redis server of an event log does with its disk: keep what it answers for, and forget.

It keeps each write before it answers if it appends to a file (`appendonly`) that it syncs every
time (`appendfsync always`), also while it rewrites that file (`no-appendfsync-on-rewrite no`), and
if it throws nothing away when memory runs short. What is deleted is still in that file, and in the
last snapshot where it takes any, until they are written anew.
"""

import time

from redis.exceptions import ResponseError

from features.errors import EventLogError
from features.event_log.redis_address import RedisAddress
from features.event_log.redis_link import Ask, RedisLink

REWRITE_S = 60.0
"""How long an erasure waits until the server has written its files anew."""
_WANTED = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
_STATUS = {"aof_rewrite": "aof_last_bgrewrite_status", "rdb_bgsave": "rdb_last_bgsave_status"}
_POLL_S = (0.002, 0.25)


def require_durable(address: RedisAddress, ask: Ask) -> None:
    """Refuse a server that may lose what it has answered for.

    Args:
        address: For messages.
        ask: Of a connection to the server.

    Raises:
        EventLogError: If it may, or does not say.
    """
    try:
        found = {name: _setting(ask, name) for name in (*_WANTED, "maxmemory", "maxmemory-policy")}
    except ResponseError as error:
        raise EventLogError(
            f"the server of the event log {address} does not say whether it keeps what it answers "
            f"for ({error}): let the user of the log run CONFIG GET; or where whoever runs the "
            "server vouches for it, add durable=assumed to the address"
        ) from error
    wrong = {name: wanted for name, wanted in _WANTED.items() if found[name] != wanted}
    if found["maxmemory"] != "0" and found["maxmemory-policy"].startswith("allkeys"):
        wrong["maxmemory-policy"] = "noeviction"
    if wrong:
        seen = ", ".join(f"{name} is {found[name] or 'absent'}" for name in wrong)
        wanted = ", ".join(f"{name} {value}" for name, value in wrong.items())
        raise EventLogError(
            f"the server of the event log {address} may lose what it acknowledged: {seen}; "
            f"wanted in its redis.conf: {wanted}"
        )


def write_anew(link: RedisLink, deadline: float) -> bool:
    """Let the server write its files anew, without what was deleted from it before the call.

    Args:
        link: To the server.
        deadline: Of `time.monotonic`.

    Returns:
        Whether it did; False where it was at it already, and has ended since: it may have begun
        before the deletion.

    Raises:
        EventLogError: If it does not, or not in time: what was deleted is in its files still.
    """
    try:
        if not _rewritten(link, ("BGREWRITEAOF",), "aof_rewrite", deadline):
            return False
        if not link.address.is_assumed_durable and _setting(link.ask, "save"):
            while not _rewritten(link, ("BGSAVE", "SCHEDULE"), "rdb_bgsave", deadline):
                pass
    except EventLogError as error:
        if link.address.is_assumed_durable and _is_forbidden(error):
            # Who vouches for the server's files vouches for what is deleted from them, too.
            return True
        raise EventLogError(
            f"what was deleted from the event log {link.address} still lies in the files of its "
            f"server: {error}; erase again, or run BGREWRITEAOF there"
        ) from error
    return True


def _rewritten(link: RedisLink, command: tuple[str, ...], job: str, deadline: float) -> bool:
    """Run a background job to its end; return False where one was running, after its end."""
    is_started = _started(link, command)
    info = _awaited(link, job, deadline)
    status = info.get(_STATUS[job])
    if is_started and status != "ok":
        raise EventLogError(f"{' '.join(command)} ended with {status}: see the log of the server")
    return is_started


def _started(link: RedisLink, command: tuple[str, ...]) -> bool:
    (answer,) = link.ask_all([command])
    if isinstance(answer, EventLogError):
        if "already in progress" in str(answer):
            return False
        raise answer
    return True


def _awaited(link: RedisLink, job: str, deadline: float) -> dict[str, str]:
    """Wait until a background job has ended and none is scheduled; return what the server says."""
    pause_s, most_s = _POLL_S
    while True:
        info = _info(link)
        if info.get(f"{job}_in_progress") == "0" and info.get(f"{job}_scheduled", "0") == "0":
            return info
        if time.monotonic() > deadline:
            raise EventLogError(f"they were not written anew within {REWRITE_S:g} s")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, most_s)


def _info(link: RedisLink) -> dict[str, str]:
    lines = link.ask("INFO", "persistence").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _setting(ask: Ask, name: str) -> str:
    found = ask("CONFIG", "GET", name)
    return found[1].decode() if found else ""


def _is_forbidden(error: EventLogError) -> bool:
    return any(said in str(error) for said in ("unknown command", "no permissions", "NOPERM"))
