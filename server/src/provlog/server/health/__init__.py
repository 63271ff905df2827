"""How each source is: what its leaves tell of missing numbers, silence, lateness.

``following``  folds the leaves of every log, a few at a time, for as long as it runs
``keeping``    what was folded, on disk, so that a restart need not read all leaves
``gauges``     what Prometheus is told
``judging``    whether a source is silent for too long, and how it looks in JSON
"""
