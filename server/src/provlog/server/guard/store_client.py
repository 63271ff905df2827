"""Small objects in an object store, read whole and written under a condition.

Speaks to S3, Google Cloud Storage and Azure through obstore, which is an optional
dependency and imported when it is needed. Credentials, region and endpoint come from
the environment, by the names that these services' own tools use.

Requests are made on threads of our own. The library's own asynchronous calls end on
threads that Python does not know, and one of those that is late aborts the interpreter
while it exits.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from provlog.server.errors import ConfigurationError, UnavailableError
from provlog.server.guard.store_url import SCHEMES, StoreUrl

if TYPE_CHECKING:
    from obstore import PutMode, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

T = TypeVar("T")

ANSWER_SECONDS: Final = 5.0
"""How long a request may take, its repetition included."""

_RETRY_SECONDS: Final = 2
_THREADS: Final = 16
_INSTALL: Final = "pip install provlog-server[object-store]"


class RefusedPutError(Exception):
    """The store did not write: the object is not as the condition asks for."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object's bytes, and what its next version can be made conditional on."""

    data: bytes
    version: "UpdateVersion"


class StoreClient:
    """A prefix of a bucket.

    Raises `ConfigurationError` where obstore or what it needs to know is missing.
    Everything else that goes wrong is an `UnavailableError`, which says what, and
    nothing of what the store answered: that may hold names of keys.
    """

    def __init__(self, url: StoreUrl, seconds: float = ANSWER_SECONDS) -> None:
        self.url = url
        self._seconds = seconds
        self._store = _connect(url)
        self._threads = ThreadPoolExecutor(_THREADS, "guard-store")

    async def get(self, name: str, most: int) -> Stored | None:
        """Return an object, None where there is none.

        `ConfigurationError` for one of more than `most` bytes.
        """
        import obstore

        def fetch() -> Stored:
            result = obstore.get(self._store, name)
            meta = result.meta
            if meta["size"] > most:
                raise ConfigurationError(
                    f"the guard {self.url}/{name} cannot be read: it is too long"
                )
            return Stored(
                bytes(result.bytes()), _version(meta["e_tag"], meta["version"])
            )

        try:
            return await self._asked(fetch)
        except FileNotFoundError:
            return None

    async def put(
        self, name: str, data: bytes, before: "UpdateVersion | None"
    ) -> "UpdateVersion":
        """Write an object if it is as it was `before`, None: if there is none.

        Returns the new version once it is durable. Raises `RefusedPutError` where it
        is not as it was. After an `UnavailableError` it may have been written, or may
        yet be.
        """
        import obstore

        def write() -> "UpdateVersion":
            mode: PutMode = "create" if before is None else before
            done = obstore.put(self._store, name, data, mode=mode)
            return _version(done["e_tag"], done["version"])

        try:
            return await self._asked(write)
        except FileNotFoundError:
            raise UnavailableError(
                f"the guard {self.url}: there is no such bucket"
            ) from None

    async def close(self) -> None:
        """Wait for requests that were given up; they end within seconds."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _asked(self, call: Callable[[], T]) -> T:
        from obstore import exceptions

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                return await loop.run_in_executor(self._threads, call)
        except TimeoutError:
            what = f"did not answer within {self._seconds:g} s"
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise RefusedPutError from None
        except exceptions.UnauthenticatedError:
            what = "the store does not know who asks: look at the credentials"
        except exceptions.PermissionDeniedError:
            what = "the credentials do not allow it"
        except exceptions.NotSupportedError:
            raise ConfigurationError(
                f"the guard {self.url}: the store knows no conditional writes"
            ) from None
        except exceptions.BaseError as error:
            what = (
                "cannot be reached, or the environment has no credentials for it"
                f" ({type(error).__name__})"
            )
        raise UnavailableError(f"the guard {self.url}: {what}")


def _version(e_tag: str | None, version: str | None) -> "UpdateVersion":
    # Google asks for the version, the others for the tag; a None is refused.
    made: UpdateVersion = {}
    if e_tag is not None:
        made["e_tag"] = e_tag
    if version is not None:
        made["version"] = version
    return made


def _connect(url: StoreUrl) -> "ObjectStore":
    try:
        from obstore import exceptions
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise ConfigurationError(
            f"a guard in {SCHEMES[url.scheme]} needs a library: {_INSTALL}"
        ) from None
    client, retry = _client_options(), _retry_options()
    prefix = url.prefix or None
    try:
        if url.scheme == "s3":
            return S3Store(
                url.bucket, prefix=prefix, client_options=client, retry_config=retry
            )
        if url.scheme == "gs":
            return GCSStore(
                url.bucket, prefix=prefix, client_options=client, retry_config=retry
            )
        return AzureStore(
            url.bucket,
            prefix=prefix,
            account_name=os.environ["AZURE_STORAGE_ACCOUNT_NAME"],
            client_options=client,
            retry_config=retry,
        )
    except KeyError as error:
        raise ConfigurationError(
            f"the guard {url}: the environment lacks {error.args[0]}"
        ) from None
    except (exceptions.BaseError, ValueError):
        raise ConfigurationError(
            f"the guard {url}: the environment has no usable credentials for"
            f" {SCHEMES[url.scheme]}"
        ) from None


def _client_options() -> "ClientConfig":
    # The library reads this variable itself only where no options are given.
    plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
    return {
        "allow_http": plain,
        "connect_timeout": timedelta(seconds=_RETRY_SECONDS),
        "timeout": timedelta(seconds=ANSWER_SECONDS),
    }


def _retry_options() -> "RetryConfig":
    # A write whose answer got lost is refused when it is sent again; whoever wrote
    # looks then what is there.
    return {"max_retries": 1, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)}
