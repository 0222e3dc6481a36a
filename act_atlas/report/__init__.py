"""The pilot's account of a job in NorduGrid mode: heartbeat.json -> what PanDA is told, and which outputs there are."""

from __future__ import annotations

from act_atlas.report.extract import log_extract
from act_atlas.report.model import BadReport, Output, PilotReport, missing_outputs, output_report
from act_atlas.report.reading import MAX_REPORT_BYTES, read_report
from act_atlas.report.times import Times, consistent_times

__all__ = [
    "MAX_REPORT_BYTES",
    "BadReport",
    "Output",
    "PilotReport",
    "Times",
    "consistent_times",
    "log_extract",
    "missing_outputs",
    "output_report",
    "read_report",
]
