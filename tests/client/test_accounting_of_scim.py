"""What a log makes of SCIM exchanges is what the client expects of what it sent."""

import json
from pathlib import Path

from provlog.client import Client, Receipt, VolatileMemory
from support.loopback import serving
from support.scim import ANN, SOURCE, TEAM, exchange, patch


def test_the_client_finds_every_exchange_it_sent(tmp_path: Path) -> None:
    off = patch({"op": "Replace", "path": "active", "value": "False"})
    records = [
        exchange("POST", "/Users", phase="attempt", request=ANN | {"password": "x9"}),
        exchange("POST", "/Users", request=ANN | {"password": "x9"}, response=ANN),
        exchange("POST", "/Groups", id="with#1", request=TEAM, response=TEAM),
        {"method": "PATCH", "body": off},
        exchange("PATCH", "/Users/u1", id=None, request=off),
    ]
    body = b"\n".join(json.dumps(each).encode() for each in records)
    with serving(tmp_path) as log:
        token = log.served.made.tokens["submitter"]
        trust = log.served.made.trust
        with Client(log.url, trust, token=token, memory=VolatileMemory()) as client:
            for new in (True, False):
                results = client.submit_records("scim", SOURCE, body)
                created = [
                    each.created for each in results if isinstance(each, Receipt)
                ]
                assert created == [new] * 7
