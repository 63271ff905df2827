"""The service on HTTP: routes, authentication, problem details.

``app``       the applications, and how to run them
``context``   what handlers share: settings and the application's typed keys
``listener``  sockets that accept; ``connections`` and ``roster`` bound what comes of
              it, and ``connections`` answers what is no HTTP
``addresses`` whose address a request came from
``routes``    which path and method is whose; ``unmatched`` what is nobody's
``problems``  RFC 9457 problem details, and what becomes one
``gate``      the middleware around every handler: errors, metrics, headers
``access``    request ids, and the line a request leaves in the log
``auth``      bearer tokens, roles, rates
``requests``  bodies and query parameters, strictly; ``responses`` what goes back, in
              ``pieces`` where it is long
``submit``    events in (``submission``); ``answers`` receipts out; ``sources``
              their namespaces; ``hooks`` providers' own deliveries; ``crowd`` how much
              of all that is in hand at a time
``read``      checkpoint, tiles, bundles; ``proofs``; ``entries``; ``lookup`` by id
``manage``    logs, tokens and sources; ``ops`` probes, looked for once for all who ask
              (``shared``), and the API's description

Nothing outside this package knows of HTTP.
"""
