"""The one resident process: socket server, sessions, background work."""
