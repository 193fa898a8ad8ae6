"""Thin commands: options in, core asked, rows out."""
