"""This program beside others on the same work: whole processes, run in turn, on input it makes itself.

A command has a module here with its `works()`; the runner in __main__ knows no command. Nothing here is installed.
"""
