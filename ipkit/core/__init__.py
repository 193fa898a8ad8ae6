"""The stack: bytes and small values in, outcomes out. No file, no clock, no chance without a seed.

The floor plan: each kernel function and the room it lives in.

    csum_fold        wire/checksum.py
    csum_partial     wire/checksum.py
    csum_replace2    wire/checksum.py
    csum_replace4    wire/checksum.py
    ip_decrease_ttl  wire/checksum.py
    ip_fast_csum     wire/checksum.py
"""
