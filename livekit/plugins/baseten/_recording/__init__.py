"""Calls recorded into a folder (docs/reports.md)."""
