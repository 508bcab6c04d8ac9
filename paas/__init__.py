"""paas: a Heroku-style git-push platform for one server."""

__version__ = "0.1.0"
