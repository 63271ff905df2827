"""Tests that leak on purpose, each in another place; `test_leak_scan` runs them.

Their file is not one that pytest collects by itself.
"""

import base64
import logging
from pathlib import Path

from provlog.server.http.app import create_metrics_app
from provlog.server.http.problems import Problem
from provlog.server.intake.draft import Drafter
from provlog.server.metrics import Metrics
from support.events import event_json
from support.instances import RunnerServer, served
from support.servers import run_server_command

MAIL = "alice@example.com"

logger = logging.getLogger(__name__)


async def test_a_token_in_a_log_line(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        logger.warning("presented: %s", log.made.tokens["monitor"])


async def test_a_secret_without_its_token_in_a_further_field(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        secret = log.made.tokens["monitor"].split("_", 2)[2]
        logger.warning("presented", extra={"digest_of": f"x{secret}x"})


async def test_a_key_in_a_log_line(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        logger.warning("labels with %s", log.log.drafter._epoch_key.hex())


def test_a_person_in_the_text_of_an_exception() -> None:
    try:
        raise ValueError(f"no {MAIL}")
    except ValueError:
        logger.exception("failed")


def test_a_person_in_a_disclosure() -> None:
    disclosed = base64.urlsafe_b64encode(f'["salt","actor","{MAIL}"]'.encode())
    logger.warning("entry %s", disclosed.decode())


def test_a_person_in_a_metric() -> None:
    Metrics().refused("forbidden", f"urn:{MAIL}")


async def test_a_person_in_a_scraped_page(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        log.log.freshness.newest[MAIL] = 0
        app = create_metrics_app(log.service)
        async with (
            RunnerServer(app) as server,
            log.client.session.get(server.make_url("/metrics")) as answer,
        ):
            assert answer.status == 200
        log.log.freshness.newest.clear()


async def test_a_person_in_a_problem(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        log.log.refresh = refuse  # type: ignore[assignment, method-assign]
        await log.get("checkpoint")


async def test_a_person_in_a_problem_of_a_batch(tmp_path: Path) -> None:
    make = Drafter.event
    async with served(tmp_path) as log:
        Drafter.event = refuse  # type: ignore[assignment]
        try:
            await log.batch([event_json()])
        finally:
            Drafter.event = make  # type: ignore[method-assign]


def test_a_person_in_what_a_command_prints(tmp_path: Path) -> None:
    run_server_command("fsck", "--dir", tmp_path / MAIL)


def refuse(*_: object) -> None:
    raise Problem("forbidden", f"not {MAIL}")


async def test_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        token = log.made.tokens["monitor"].split("_")[1]
        logger.warning("%s %s %s", token, log.log.origin, event_json()["source"])
        await log.post({**event_json(), "type": 7})
