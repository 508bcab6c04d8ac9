"""Backups: dump → seal → upload → read back → drill, the catalog in the target, retention.

Shared by every datastore. What is here knows ports and model, never an adapter or the database.
"""
