"""Batch jobs and the command line."""
