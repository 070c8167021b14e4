"""Segments: whom a shop could write to, and who of them may be written to."""

from recsys.segments.admission import Admission, AdmissionTables, FrequencyCap, admit

__all__ = ["Admission", "AdmissionTables", "FrequencyCap", "admit"]
