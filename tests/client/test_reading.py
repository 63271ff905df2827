"""What the client reads from a log: checkpoints, entries and proofs, all verified."""

import pytest

from provlog.client import AsyncClient, UsageError, VolatileMemory
from provlog.client.answers import prefix_roots
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.proof_file import verify_proof
from support.lying_log import LyingLog, Served, event


@pytest.fixture
def filled(log: LyingLog) -> LyingLog:
    for place in range(12):
        log.append(event(id=f"e{place}"))
    return log


async def test_a_checkpoint_can_be_waited_for(
    client: AsyncClient, filled: LyingLog
) -> None:
    await client.checkpoint(newer_than=5, wait=99)
    assert filled.requests[0].query == {"newer_than": "5", "timeout": "60"}


async def test_an_entry_by_index_and_by_source_and_id(
    client: AsyncClient, filled: LyingLog
) -> None:
    by_index = await client.entry(4)
    by_id = await client.entry(source="urn:okta:acme", event_id="e3")
    assert by_index.verified == by_id.verified
    assert (await client.entry(0)).verified.entry.kind == "params"


@pytest.mark.parametrize(
    "asked", [{}, {"index": 1, "source": "a"}, {"source": "a"}, {"event_id": "a"}]
)
async def test_an_entry_is_asked_for_in_one_way(
    asked: dict[str, str], client: AsyncClient, log: LyingLog
) -> None:
    with pytest.raises(UsageError):
        await client.entry(**asked)  # type: ignore[arg-type]
    assert log.requests == []


async def test_an_entry_that_withholds_its_id_is_the_logs_claim(
    client: AsyncClient, filled: LyingLog
) -> None:
    asked = {"source": "urn:okta:acme", "event_id": "e3"}
    assert not (await client.entry(**asked)).id_claimed  # type: ignore[arg-type]
    filled.rewrite = lambda path, body: body.update(disclosures=[])
    receipt = await client.entry(**asked)  # type: ignore[arg-type]
    assert receipt.id_claimed
    assert receipt.verified.disclosures == {}
    # Asked for by index, nothing is claimed about an event.
    assert not (await client.entry(4)).id_claimed


@pytest.mark.parametrize("value", [True, 1.0, -1])
async def test_whole_numbers_are_nothing_else(
    value: int, client: AsyncClient, filled: LyingLog
) -> None:
    with pytest.raises(UsageError, match="whole number"):
        await client.entry(value)
    with pytest.raises(UsageError, match="whole number"):
        await client.inclusion(value)
    with pytest.raises(UsageError, match="whole number"):
        await client.inclusion(0, size=value)
    with pytest.raises(UsageError, match="whole number"):
        await client.checkpoint(newer_than=value)
    assert filled.requests == []


async def test_an_inclusion_proof_in_the_newest_tree_is_a_proof_file(
    client: AsyncClient, filled: LyingLog
) -> None:
    proved = await client.inclusion(7)
    text = proved.proof_file()
    assert text is not None
    verified = verify_proof(text.encode(), leaf_hash(filled.leaves[7]), filled.trust)
    assert verified.index == 7


@pytest.mark.parametrize("size", [8, 9, 12])
async def test_an_inclusion_proof_in_an_earlier_tree_leads_to_a_checkpoint(
    size: int, client: AsyncClient, filled: LyingLog
) -> None:
    proved = await client.inclusion(7, size=size)
    assert proved.root == filled.root(size)
    assert proved.checkpoint.checkpoint.size == 13
    assert proved.consistency
    assert proved.proof_file() is None


async def test_consistency_of_two_checkpoints_in_either_order(
    client: AsyncClient, filled: LyingLog
) -> None:
    filled.served_size = 5
    older = await client.checkpoint()
    filled.served_size = None
    proved = await client.consistency(older)
    assert (proved.older, proved.newer.checkpoint.size) == (older, 13)
    assert await client.consistency(proved.newer, older) == proved


def test_an_inclusion_proof_holds_the_roots_before_and_after_its_leaf() -> None:
    log = LyingLog()
    for place in range(40):
        log.append(event(id=f"e{place}"))
    roots = [log.root(size) for size in range(len(log.leaves) + 1)]
    for size in range(1, len(log.leaves) + 1):
        for index in range(size):
            leaf, proof = leaf_hash(log.leaves[index]), log.inclusion(index, size)
            assert prefix_roots(index, size, leaf, proof) == {
                index: roots[index],
                index + 1: roots[index + 1],
            }


@pytest.mark.parametrize(
    "url",
    [
        "log.example",
        "ftp://log.example",
        "https://user:secret@log.example",
        "https://log.example/?a=b",
        "http://[",
    ],
)
def test_urls_that_cannot_be(url: str, log: LyingLog) -> None:
    with pytest.raises(UsageError) as caught:
        AsyncClient(url, log.trust, memory=VolatileMemory())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b", ".", ".."])
def test_names_of_logs_that_cannot_be(name: str, log: LyingLog) -> None:
    with pytest.raises(UsageError):
        AsyncClient("https://a.example", log.trust, log=name, memory=VolatileMemory())


def test_a_token_does_not_cross_a_network_in_the_clear(log: LyingLog) -> None:
    def make(url: str, *, insecure: bool = False) -> AsyncClient:
        return AsyncClient(
            url, log.trust, token="plt_a_b", memory=VolatileMemory(), insecure=insecure
        )

    with pytest.raises(UsageError, match="unencrypted"):
        make("http://log.example")
    make("http://log.example", insecure=True)
    make("http://127.0.0.1:8080")
    make("http://[::1]:8080")
    make("http://localhost")
    make("https://log.example")


async def test_the_token_is_sent_as_a_bearer(served: Served, log: LyingLog) -> None:
    async with AsyncClient(
        served.url, log.trust, token="plt_a_b", memory=VolatileMemory()
    ) as client:
        await client.checkpoint()
    assert log.requests[0].headers["Authorization"] == "Bearer plt_a_b"


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ä"])
def test_tokens_that_cannot_be_are_not_repeated(token: str, log: LyingLog) -> None:
    with pytest.raises(UsageError, match="the token is not one"):
        AsyncClient("https://a.example", log.trust, token=token)
