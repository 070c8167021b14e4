"""Readers: one format family a module, each turning a file into bounded batches of raw rows."""

from features.readers.batches import (
    BROKEN_RULE,
    SEQ,
    SOURCE_LINE,
    SOURCE_ROW,
    Batch,
    Format,
    Problem,
    Records,
    TableRows,
)
from features.readers.byte_source import ByteSource
from features.readers.detect import FORMATS, Detected, detect
from features.readers.reading import read_batches
from features.readers.times import parse_times

__all__ = [
    "BROKEN_RULE",
    "FORMATS",
    "SEQ",
    "SOURCE_LINE",
    "SOURCE_ROW",
    "Batch",
    "ByteSource",
    "Detected",
    "Format",
    "Problem",
    "Records",
    "TableRows",
    "detect",
    "parse_times",
    "read_batches",
]
