"""The only rooms that touch the world: captures, host sources, terminals."""
