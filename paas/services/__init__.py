"""Data services: one engine for every kind of datastore. A plugin (:mod:`paas.api`) says what is particular."""
