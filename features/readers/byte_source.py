"""The bytes of one source file, plain or gzip, read once from front to back in bounded memory."""

import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from features.errors import DamagedFileError, InputError, UnknownFormatError

CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 64 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_GZIP_WBITS = 31
_WHAT_TO_DO = (
    "the rows before the damage were read: copy the file again and read it again, rows that are "
    "already known stay as they are"
)
_OTHER_CONTAINERS = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


class ByteSource:
    """One file, opened once: pipes work, and what `head` shows is read again by `lines`.

    Args:
        path: The file. Gzip is told by its first bytes, not by its name.
        on_bytes: Called with the number of bytes each time some were read from the disk.
    """

    def __init__(self, path: Path, on_bytes: Callable[[int], None] | None = None) -> None:
        self.path = path
        self._on_bytes = on_bytes or (lambda _count: None)
        self._raw: BinaryIO | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._head = b""
        self._damage: DamagedFileError | None = None

    def __enter__(self) -> "ByteSource":
        """Open the file and read its head.

        Raises:
            InputError: The file is missing, unreadable or empty.
            UnknownFormatError: Its bytes are a container that is not read.
        """
        try:
            self._raw = io.BufferedReader(self.path.open("rb", buffering=0), CHUNK_BYTES)
            magic = self._raw.peek(8)[:8]
        except OSError as error:
            self.__exit__(None, None, None)
            raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error
        for start, name in _OTHER_CONTAINERS.items():
            if magic.startswith(start):
                self.__exit__(None, None, None)
                raise UnknownFormatError(
                    f"{self.path} is {name}: plain UTF-8 and gzip files are read"
                )
        self._chunks = self._gunzipped() if magic.startswith(_GZIP) else self._plain()
        self._fill_head()
        if not self._head.strip():
            self.__exit__(None, None, None)
            raise self._damage or InputError(f"{self.path} is empty")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._raw is not None:
            self._raw.close()

    @property
    def head(self) -> bytes:
        """The first 64 KiB of the content, or all of it where it is shorter."""
        return self._head

    def lines(self) -> Iterator[bytes]:
        """Read the lines, without their line feeds.

        Yields:
            One line; of a line longer than 16 MiB only the first 16 MiB and one byte.

        Raises:
            DamagedFileError: The gzip data ends early or is broken; a line that was cut by the
                damage has not been yielded.
        """
        carry: list[bytes] = []
        carried = 0
        for chunk in self._content():
            *whole, rest = chunk.split(b"\n")
            for line in whole:
                if carry:
                    line = b"".join([*carry, line])
                    carry, carried = [], 0
                yield line[: LINE_BYTES_MAX + 1]
            if rest and carried <= LINE_BYTES_MAX:
                carry.append(rest)
                carried += len(rest)
        if carry:
            yield b"".join(carry)[: LINE_BYTES_MAX + 1]

    def _content(self) -> Iterator[bytes]:
        yield self._head
        if self._damage is not None:
            raise self._damage
        yield from self._chunks

    def _fill_head(self) -> None:
        parts: list[bytes] = []
        try:
            while sum(map(len, parts)) < HEAD_BYTES:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                parts.append(chunk)
        except DamagedFileError as damage:
            self._damage = damage
        self._head = b"".join(parts)

    def _plain(self) -> Iterator[bytes]:
        assert self._raw is not None
        while True:
            try:
                chunk = self._raw.read(CHUNK_BYTES)
            except OSError as error:
                raise DamagedFileError(f"{self.path} cannot be read on: {error}") from error
            if not chunk:
                return
            self._on_bytes(len(chunk))
            yield chunk

    def _gunzipped(self) -> Iterator[bytes]:
        member = zlib.decompressobj(_GZIP_WBITS)
        for packed in self._plain():
            while packed:
                if member.eof:
                    packed = packed.lstrip(b"\x00")
                    if not packed:
                        break
                    member = zlib.decompressobj(_GZIP_WBITS)
                yield self._inflate(member, packed)
                packed = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof:
            content = self._inflate(member, b"")
            if not content:
                raise DamagedFileError(f"{self.path} is a gzip file that ends early; {_WHAT_TO_DO}")
            yield content

    def _inflate(self, member: "zlib._Decompress", packed: bytes) -> bytes:
        try:
            return member.decompress(packed, CHUNK_BYTES)
        except zlib.error as error:
            raise DamagedFileError(
                f"{self.path} is a broken gzip file ({error}); {_WHAT_TO_DO}"
            ) from error
