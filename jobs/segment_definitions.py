"""Files of segments, and the segments that ship."""

from collections.abc import Sequence
from pathlib import Path

from jobs.errors import BadInputError
from recsys.segments.definition import Definitions
from recsys.segments.definition_files import SegmentText, library, parse_segments

DEFAULT_FOLDER = Path("segments")
_SUFFIXES = (".toml", ".yaml", ".yml")


def read_definitions(places: Sequence[str | Path]) -> Definitions:
    """Read all segments of some files and folders, and those that ship.

    Args:
        places: Files, and folders whose `.toml`, `.yaml` and `.yml` files are read; none for the
            folder `segments` where there is one.

    Raises:
        BadInputError: A place is not there, or a file cannot be read.
        SegmentError: What a file says is wrong.
    """
    if not places and DEFAULT_FOLDER.is_dir():
        places = [DEFAULT_FOLDER]
    texts: list[SegmentText] = library()
    for place in places:
        for file in _files(Path(place)):
            try:
                text = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise BadInputError(f"cannot read {file}: {error}") from error
            texts += parse_segments(text, source=str(file))
    return Definitions(texts)


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        found = sorted(file for file in place.iterdir() if file.suffix in _SUFFIXES)
        if not found:
            raise BadInputError(f"the folder {place} has no {', '.join(_SUFFIXES)} file")
        return found
    if not place.is_file():
        raise BadInputError(f"{place} is no file and no folder of segments")
    if place.suffix not in _SUFFIXES:
        raise BadInputError(f"{place} is no {', '.join(_SUFFIXES)} file")
    return [place]
