"""The configured machine, frozen."""
