"""The log asks witnesses: cosigned checkpoints, and what witnesses know of the log.

``settings``   which witnesses a log has, and what is served without a quorum
``writing``    how the command makes, changes and removes these
``calls``      HTTP to one witness, bounded
``answers``    what a witness answered, verified
``witness``    one witness: the size it knows, its pauses, what becomes of a question
``candidate``  the head that cosignatures are collected for
``rounds``     the asking of one log: once a second, all witnesses at a time
``published``  what `/checkpoint` serves, on disk before it is served
``judging``    what a witness's larger size means
``examining``  the check before a log signs
``claims``     the same while it runs
``folder``     files that are replaced as a whole; which process asks
``following``  the rounds of all logs, in the background
``figures``    what Prometheus is told
"""
