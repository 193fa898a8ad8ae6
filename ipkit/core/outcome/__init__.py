"""What rooms say: verdicts, reasons, counters, facts, the diary."""
