"""Bytes and fields: one offset table per header, no opinions, no host."""
