"""The stack: bytes and small values in, outcomes out. No file, no clock, no chance without a seed.

The floor plan: each kernel function and the room it lives in.

    inet_frag_worker               defrag.py
    ip_defrag                      defrag.py
    ip_expire                      defrag.py
    ip_find                        defrag.py
    ip_frag_too_far                defrag.py
    ip_frag_queue                  defrag_queue.py
    ip_frag_reasm                  defrag_queue.py
    ip_copy_metadata               fragment.py
    ip_do_fragment                 fragment.py
    ip_fragment                    fragment.py
    fib4_rule_action               host/fib_lookup.py
    fib4_rule_suppress             host/fib_lookup.py
    fib_lookup                     host/fib_lookup.py
    fib_lookup_good_nhc            host/fib_lookup.py
    fib_rules_lookup               host/fib_lookup.py
    fib_table_lookup               host/fib_lookup.py
    inet_addr_type                 host/fib_lookup.py
    ip_dev_find                    host/fib_lookup.py
    l3mdev_update_flow             host/fib_lookup.py
    fib_good_nh                    host/multipath.py
    fib_multipath_custom_hash_fl4  host/multipath.py
    fib_multipath_custom_hash_skb  host/multipath.py
    fib_multipath_hash_from_keys   host/multipath.py
    fib_rebalance                  host/multipath.py
    fib_select_multipath           host/multipath.py
    jhash_2words                   host/siphash.py
    siphash                        host/siphash.py
    ip_options_build               ip_options.py
    ip_options_echo                ip_options.py
    ip_options_fragment            ip_options.py
    csum_replace2                  wire/checksum.py
    csum_replace4                  wire/checksum.py
    ip_decrease_ttl                wire/checksum.py
    ip_fast_csum                   wire/checksum.py
    ip_multipath_l3_keys           wire/flow_keys.py
"""
