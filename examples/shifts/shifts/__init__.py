"""Shifts: who works where and when."""
