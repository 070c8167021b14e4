"""Files of segments: TOML or YAML, each segment with its name and what it says."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import yaml

from recsys.errors import SegmentError
from recsys.segments.hints import nearest

LIBRARY = "library"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_KEYS = ("description", "extends", "parameters", "where")
_PLAIN = (str, int, float, bool)


@dataclass(frozen=True, kw_only=True)
class SegmentText:
    """A segment as a file has it.

    Attributes:
        name: Unique among all files; lower-case letters, digits, - and _, at most 48.
        source: Its file.
        content: `description, extends, parameters, where`.
    """

    name: str
    source: str
    content: Mapping[str, Any]

    @property
    def where(self) -> str:
        """File and name, for messages."""
        return f"{self.source}: segment {self.name}"


def parse_segments(text: str, *, source: str) -> list[SegmentText]:
    """Read a file of segments.

    Args:
        text: TOML, or YAML where the name of the source ends in `.yaml` or `.yml`.
        source: Name of the file.

    Raises:
        SegmentError: It is neither, or has no table `segments`.
    """
    is_yaml = source.endswith((".yaml", ".yml"))
    try:
        content = _read_yaml(text) if is_yaml else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "YAML" if is_yaml else "TOML"
        raise SegmentError(f"{source} is no {kind} file: {error or 'too deep'}") from error
    if not isinstance(content, dict) or not isinstance(content.get("segments"), dict):
        raise SegmentError(f"{source} has no table segments: write [segments.NAME]")
    others = sorted(str(key) for key in set(content) - {"segments"})
    if others:
        hint = nearest(others[0], ["segments"])
        raise SegmentError(f"{source}: unknown key {others[0]}; allowed: segments{hint}")
    found = []
    for name, one in content["segments"].items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SegmentError(
                f"{source}: {name!r} is no name of a segment: 1 to 48 of a-z, 0-9, - and _, the "
                "first a letter or digit, since files, folders and tables are named after it"
            )
        if not isinstance(one, dict):
            raise SegmentError(f"{source}: segment {name}: wants a table of keys, not {one!r}")
        found.append(SegmentText(name=name, source=source, content=one))
    return found


def library() -> list[SegmentText]:
    """Return the segments that ship."""
    text = files("recsys.segments").joinpath("library.toml").read_text("utf-8")
    return [replace(one, source=LIBRARY) for one in parse_segments(text, source="library.toml")]


def check_keys(text: SegmentText) -> None:
    """Check what a segment says, all but its conditions.

    Raises:
        SegmentError: A key is unknown or missing, or its value is none.
    """
    content = text.content
    for key in content:
        if key not in _KEYS:
            hint = nearest(str(key), _KEYS)
            raise SegmentError(
                f"{text.where}: unknown key {key}; allowed: {', '.join(_KEYS)}{hint}"
            )
    if "where" not in content:
        raise SegmentError(f"{text.where}: where is missing: it says who is in the segment")
    for key in ("description", "extends"):
        if not isinstance(content.get(key, ""), str):
            raise SegmentError(f"{text.where}: {key} wants a text, not {content[key]!r}")
    parameters = content.get("parameters", {})
    if not isinstance(parameters, dict):
        raise SegmentError(f"{text.where}: parameters wants a table, not {parameters!r}")
    for key, value in parameters.items():
        if not isinstance(value, _PLAIN):
            raise SegmentError(
                f"{text.where}: parameters.{key}: wants a text, a number or true or false as its "
                f'default ("" for none), not {value!r}'
            )


class _Loader(yaml.SafeLoader):
    """YAML of plain values in which no key is given twice and nothing refers to anything else."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases: few lines of them can stand for more than a memory holds."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("anchors and aliases are not read: write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse a key that is given twice: the first would be dropped silently."""
        keys = [key.value for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise yaml.YAMLError(
                    f"the key {key} is given twice in line {node.start_mark.line + 1}"
                )
        return super().construct_mapping(node, deep)


def _read_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)
