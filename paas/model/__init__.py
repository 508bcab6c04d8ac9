"""Nouns, states and rules of the platform; standard library only."""
