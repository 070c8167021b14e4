"""Talking to the Redis server of an event log: commands as they are, errors as `EventLogError`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import ConnectionError, RedisError, ResponseError

from features.errors import EventLogError
from features.event_log.redis_address import RedisAddress

CONNECT_S = 5.0
ANSWER_S = 30.0
"""A server that has not answered within this time is taken to be gone."""

Part = bytes | str | int
Ask = Callable[..., Any]
"""Sends one command and returns what is answered."""


class RedisLink:
    """Connections to one server; may be used by any thread.

    Nothing is sent twice: whoever sent it has to know whether that is safe. A connection that the
    server has closed is found closed before anything is sent through it, and is made anew.

    Args:
        address: Of the server.
        check: Called with each new connection's `Ask`, and so again after the server was restarted;
            raises `EventLogError` where it must not be used.
    """

    def __init__(self, address: RedisAddress, check: Callable[[Ask], None]) -> None:
        self.address = address
        self._check = check
        self._class = SSLConnection if address.is_encrypted else Connection
        self._options: dict[str, Any] = {
            **address.connection_options(),
            "socket_connect_timeout": CONNECT_S,
            "socket_timeout": ANSWER_S,
            "socket_keepalive": True,
            "protocol": 2,
            "redis_connect_func": self._on_connect,
        }
        self._pool = ConnectionPool(connection_class=self._class, **self._options)

    def ask(self, *command: Part) -> Any:
        """Send one command and return what is answered.

        Raises:
            EventLogError: If the server cannot be reached, or refuses.
        """
        (answer,) = self.ask_all([command])
        if isinstance(answer, EventLogError):
            raise answer
        return answer

    def ask_all(self, commands: Sequence[Sequence[Part]]) -> list[Any]:
        """Send commands together; one that is refused has an `EventLogError` as its answer.

        Raises:
            EventLogError: If the server cannot be reached, or went away before it had answered.
        """
        with self.reported():
            connection = self._pool.get_connection()
            try:
                connection.send_packed_command(connection.pack_commands(commands))
                return [self._answer(connection) for _ in commands]
            finally:
                self._pool.release(connection)

    def connection(self, answer_s: float = ANSWER_S) -> "OwnConnection":
        """Return a connection for the use of one thread; it is made when first needed.

        Args:
            answer_s: How long an answer, or the connection, is waited for.
        """
        limits = {"socket_timeout": answer_s, "socket_connect_timeout": min(answer_s, CONNECT_S)}
        return OwnConnection(self, self._class(**{**self._options, **limits}))

    def close(self) -> None:
        """Close all connections but those that were handed out."""
        self._pool.disconnect()

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Turn errors of redis-py into `EventLogError`."""
        try:
            yield
        except (RedisError, OSError) as error:
            raise self._told(error) from error

    def _answer(self, connection: Any) -> Any:
        try:
            return connection.read_response()
        except ResponseError as error:
            return self._told(error)

    def _told(self, error: Exception) -> EventLogError:
        text = str(error) or type(error).__name__
        if self.address.password:
            text = text.replace(self.address.password, "***")
        return EventLogError(f"cannot use the event log {self.address}: {text}")

    def _on_connect(self, connection: Any) -> None:
        def ask(*command: Part) -> Any:
            connection.send_command(*command, check_health=False)
            return connection.read_response()

        connection.on_connect()
        try:
            self._check(ask)
        except BaseException:
            # Else the pool would hand it out as one that had been checked.
            connection.disconnect()
            raise


class OwnConnection:
    """A connection of one thread, for what is asked often; see `RedisLink.connection`."""

    def __init__(self, link: RedisLink, connection: Any) -> None:
        self._link = link
        self._connection = connection

    def packed(self, *command: Part) -> list[bytes]:
        """Return a command as it is sent."""
        return self._connection.pack_command(*command)

    def ask_again(self, packed: list[bytes]) -> Any:
        """Send a command that only reads; where the connection is gone, once more by a new one.

        Raises:
            EventLogError: If the server cannot be reached, or refuses.
        """
        with self._link.reported():
            try:
                return self._ask(packed)
            except ConnectionError:
                return self._ask(packed)

    def close(self) -> None:
        """Close it."""
        self._connection.disconnect()

    def _ask(self, packed: list[bytes]) -> Any:
        self._connection.send_packed_command(packed, check_health=False)
        return self._connection.read_response()
