"""The report of a search: pictures and one HTML page, made from its history."""

from nasdet.report.report import draw, main, read_report, write_report

__all__ = ['draw', 'main', 'read_report', 'write_report']
