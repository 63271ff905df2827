"""TLS: what is spoken, with which files, and what does not stop the service."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from provlog.server.errors import ConfigurationError
from provlog.server.http.roster import ConnectionSettings
from provlog.server.tls import ServerCertificate
from support.edges import HEALTH, Edge, Pair, listening, open_files

LOOPS = ("asyncio", "uvloop")
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.make(tmp_path)


@asynccontextmanager
async def serving(
    folder: Path, pair: Pair, **bounds: float
) -> AsyncIterator[tuple[Edge, ServerCertificate]]:
    settings = ConnectionSettings(sweep_seconds=0.05, **bounds)  # type: ignore[arg-type]
    certificate = ServerCertificate(pair.chain, pair.key)
    async with listening(folder / "served", settings, certificate) as edge:
        yield edge, certificate


async def served_serial(edge: Edge, trust: ssl.SSLContext) -> int:
    """Return the number of the certificate that is served, which has to be trusted."""
    _, writer = await edge.connect(trust)
    handshake = writer.get_extra_info("ssl_object")
    assert handshake.version() == "TLSv1.3"
    number = x509.load_der_x509_certificate(handshake.getpeercert(binary_form=True))
    writer.close()
    await writer.wait_closed()
    return number.serial_number


async def test_a_client_that_trusts_the_certificate_is_served(
    tmp_path: Path, pair: Pair
) -> None:
    async with serving(tmp_path, pair) as (edge, _):
        assert await edge.asks(pair.trust()) == OK
        old = pair.trust()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await edge.asks(old) == OK
        stranger = Pair.make(tmp_path, "stranger")
        with pytest.raises(ssl.SSLCertVerificationError):
            await edge.asks(stranger.trust())
        assert await edge.asks(pair.trust()) == OK


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_1_is_refused(tmp_path: Path, pair: Pair) -> None:
    trust = pair.trust()
    trust.set_ciphers("ALL:@SECLEVEL=0")
    trust.minimum_version = ssl.TLSVersion.TLSv1_1
    trust.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(tmp_path, pair) as (edge, certificate):
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            await edge.asks(trust)
        await edge.until(lambda: edge.dropped("handshake") == 1)
        # It is the server that refuses it: one that allows it is spoken with.
        certificate.context.set_ciphers("ALL:@SECLEVEL=0")
        certificate.context.minimum_version = ssl.TLSVersion.TLSv1_1
        assert await edge.asks(trust) == OK


async def test_a_renewed_pair_is_used_without_a_restart(
    tmp_path: Path, pair: Pair
) -> None:
    before, old_trust = pair.serial, pair.trust()
    async with serving(tmp_path, pair) as (edge, certificate):
        reader, writer = await edge.connect(old_trust)
        assert await served_serial(edge, old_trust) == before
        assert not certificate.refresh()
        pair.replace_with(Pair.make(tmp_path, "renewed"))
        assert certificate.refresh()
        assert not certificate.refresh()
        assert await served_serial(edge, pair.trust()) == pair.serial != before
        # Who was connected stays so.
        writer.write(HEALTH)
        assert await reader.readline() == OK


async def test_a_renewal_that_is_no_pair_changes_nothing(
    tmp_path: Path, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    before, trust = pair.serial, pair.trust()
    async with serving(tmp_path, pair) as (edge, certificate):
        renewed = Pair.make(tmp_path, "renewed")
        renewed.chain.rename(pair.chain)
        assert not certificate.refresh()
        assert not certificate.refresh()
        assert [each.levelname for each in caplog.records] == ["ERROR"]
        assert "is not the key of" in caplog.text
        assert await served_serial(edge, trust) == before
        # The other half follows, first open to others, then as it has to be.
        renewed.key.chmod(0o644)
        renewed.key.rename(pair.key)
        assert not certificate.refresh()
        assert "chmod 600" in caplog.text
        pair.key.chmod(0o600)
        assert certificate.refresh()
        assert await served_serial(edge, pair.trust()) == pair.serial != before
        pair.key.unlink()
        assert not certificate.refresh()
        assert await edge.asks(pair.trust()) == OK
        assert "PRIVATE" not in caplog.text


async def test_plain_http_on_the_tls_port_is_dropped(
    tmp_path: Path, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, pair) as (edge, _):
        reader, writer = await edge.connect()
        writer.write(HEALTH)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert b"HTTP" not in answer  # an alert, if anything
        await edge.until(lambda: edge.dropped("handshake") == 1)
        assert len(edge.runner.connections.roster) == 0
        assert await edge.asks(pair.trust()) == OK
    assert caplog.messages == []


async def test_a_handshake_that_does_not_end_is_dropped(
    tmp_path: Path, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, pair, handshake_seconds=0.2) as (edge, _):
        silent, first = await edge.connect()
        begun, second = await edge.connect()
        second.write(b"\x16\x03\x01\x02\x00\x01")
        assert await edge.asks(pair.trust()) == OK
        for reader, writer in ((silent, first), (begun, second)):
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
        await edge.until(lambda: edge.dropped("handshake") == 2)
        assert await edge.asks(pair.trust()) == OK
    assert caplog.messages == []


async def test_handshakes_count_as_connections_and_give_way(
    tmp_path: Path, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    left = []
    for folder in ("first", "second"):
        async with serving(tmp_path / folder, pair, most=4) as (edge, _):
            silent = [await edge.connect() for _ in range(12)]
            await edge.until(lambda: edge.dropped("room") == 8)
            assert len(edge.runner.connections.roster) == 4
            assert await edge.asks(pair.trust()) == OK
            for reader, writer in silent[:8]:
                await asyncio.wait_for(reader.read(), 5)
                writer.close()
            for _, writer in silent[8:]:
                writer.close()
        left.append(open_files())
    assert left[1] <= left[0], "a descriptor stays open for each"
    assert caplog.messages == []


async def test_the_service_ends_while_handshakes_are_under_way(
    tmp_path: Path, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    left = []
    for folder in ("first", "second"):
        async with serving(tmp_path / folder, pair) as (edge, _):
            reader, writer = await edge.connect()
            await edge.until(lambda: len(edge.runner.connections.roster) == 1)
        await asyncio.wait_for(reader.read(), 5)
        await writer.wait_closed()
        left.append(open_files())
    assert left[1] <= left[0], "a descriptor stays open for each"
    assert caplog.messages == []


def _spoil_chain(pair: Pair) -> None:
    pair.chain.write_bytes(pair.chain.read_bytes()[:200])


def _empty_chain(pair: Pair) -> None:
    pair.chain.write_bytes(b"")


def _remove_chain(pair: Pair) -> None:
    pair.chain.unlink()


def _spoil_key(pair: Pair) -> None:
    pair.key.write_bytes(pair.key.read_bytes()[:100])


def _remove_key(pair: Pair) -> None:
    pair.key.unlink()


def _pipe_key(pair: Pair) -> None:
    pair.key.unlink()
    os.mkfifo(pair.key, 0o600)


def _pipe_chain(pair: Pair) -> None:
    pair.chain.unlink()
    os.mkfifo(pair.chain)


def _open_key(pair: Pair) -> None:
    pair.key.chmod(0o640)


def _take_another_key(pair: Pair) -> None:
    Pair.make(pair.key.parent, "other").key.rename(pair.key)


def _encrypt_key(pair: Pair) -> None:
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_spoil_chain, "server.pem does not hold certificates in PEM form"),
        (_empty_chain, "server.pem does not hold certificates in PEM form"),
        (_remove_chain, "server.pem: No such file"),
        (_spoil_key, "server.key does not hold a key in PEM form"),
        (_remove_key, "server.key: No such file"),
        # Nobody writes: it would be waited for, and no signal would end that.
        (_pipe_key, "server.key is no regular file"),
        (_pipe_chain, "server.pem is no regular file"),
        (_open_key, "server.key is open to others: chmod 600 it"),
        (_take_another_key, "server.key is not the key of"),
        (_encrypt_key, "server.key is encrypted"),
    ],
)
def test_files_that_cannot_be_served_with_are_named(
    pair: Pair, spoil: Callable[[Pair], None], said: str
) -> None:
    spoil(pair)
    with pytest.raises(ConfigurationError, match=said) as caught:
        ServerCertificate(pair.chain, pair.key)
    assert "\n" not in str(caught.value)


def test_an_expired_certificate_is_served_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = Pair.make(tmp_path, days=-1)
    ServerCertificate(old.chain, old.key)
    assert caplog.messages == [f"the certificate in {old.chain} has expired"]
