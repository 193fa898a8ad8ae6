"""The only things that remember."""
