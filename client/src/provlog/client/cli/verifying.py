"""`provlog verify`: check receipts, proof files and evidence, without any network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from provlog.client.cli.convicting import MAX_KEPT, judge_of, print_conviction
from provlog.client.cli.output import describe_receipt, print_json, receipt_summary
from provlog.client.cli.settings import Settings, json_option, read_file, trusting
from provlog.client.cli.trusting import explain_stranger, newest_trust
from provlog.client.errors import UsageError, printable
from provlog.client.issuer_signatures import IssuerCheck, NoTokenError
from provlog.merkle.encoding import JsonValue
from provlog.merkle.entries import MAX_ENTRY
from provlog.merkle.errors import MalformedError, MerkleError
from provlog.merkle.event_tokens import VerifiedSet
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.jwk import MAX_KEY_SET, parse_keys
from provlog.merkle.proof_file import HEADER, VerifiedProof, verify_proof
from provlog.merkle.receipts import MAX_RECEIPT, VerifiedReceipt, verify_receipt
from provlog.merkle.trust import Trust

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_LEAF = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_FILE)
@click.option(
    "--leaf",
    "leaf_file",
    metavar="FILE",
    type=_LEAF,
    help="The leaf's bytes, for a bare tlog-proof file.",
)
@click.option(
    "--issuer-keys",
    "keys_file",
    metavar="FILE",
    type=_LEAF,
    help="Also verify the signed token in a receipt with these keys (JWK Set or PEM).",
)
@click.option("--issuer", help="Who has to have issued the token.")
@click.option(
    "--audience", "audiences", multiple=True, help="Whom it has to be for (repeatable)."
)
@click.option(
    "--show", is_flag=True, help="Print the opened members too: personal data."
)
@click.option(
    "--announcements",
    "announced_file",
    metavar="FILE",
    type=_LEAF,
    help="Follow the log's key to later ones by this file, which the log or a mirror"
    " serves as /announcements.",
)
@json_option
@trusting
def verify(
    files: tuple[Path, ...],
    leaf_file: Path | None,
    keys_file: Path | None,
    issuer: str | None,
    audiences: tuple[str, ...],
    announced_file: Path | None,
    show: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Verify receipts, tlog-proof files and evidence. Offline: it takes the log's key.

    A receipt that verifies shows that exactly this entry stands in the log, at this
    index, and that nothing disclosed was changed since. It does not show that what was
    submitted is true.

    An .inconsistency.json file, as the monitor and all other commands keep it when a
    log misbehaves, holds two checkpoints that the log signed. If they cannot both be
    true, the log is CONVICTED, and the exit code is 1: what was asked about, the log,
    has failed. With --json, "convicted" tells that from a file that proves nothing.
    With --policy, witnesses that cosigned both are named as well: they lied, too.

    A .broken-rules.json file, which monitor --full keeps, holds entries with proofs. If
    an entry that the log signed breaks a rule of the log, by itself or against the one
    before it, the log is CONVICTED as well. What is in a .wrong-content.json file was
    served and not signed: it convicts nobody.

    The log's first key is enough where it was replaced since: what other commands of
    this user saw the log announce is followed, or a file given with --announcements.

    With --issuer-keys, the security event token that a receipt holds is verified as
    well: that the issuer signed it, which the log could not have made up.

    \b
    Examples:
      provlog verify --log-key "$LOG_KEY" receipts/*.receipt.json
      provlog verify --policy policy.txt --json 17.receipt.json
      provlog verify --log-key "$LOG_KEY" --leaf entry.bin entry.tlog-proof
      provlog verify --log-key "$LOG_KEY" 5e0c….inconsistency.json
      provlog verify --log-key "$LOG_KEY" 91ab….broken-rules.json
      provlog verify --log-key "$LOG_KEY" --issuer-keys jwks.json 17.receipt.json

    Exit code 0 if all verify, 1 if any does not or a log is convicted, 2 if a file
    cannot be read, no key was given, or there is no token to verify.
    """
    trust = newest_trust(settings, announced_file)
    check = _issuer_check(keys_file, issuer, audiences)
    leaf = None
    if leaf_file is not None:
        if len(files) > 1:
            raise UsageError("--leaf is for one proof file at a time")
        leaf = read_file(leaf_file, MAX_ENTRY + 1)
    codes = [
        _judge(file, _Question(leaf, trust, check), as_json=as_json, show=show)
        for file in files
    ]
    for code in (1, 2):
        if code in codes:
            raise click.exceptions.Exit(code)


@dataclass(frozen=True)
class _Question:
    """What is asked of every file."""

    leaf: bytes | None
    trust: Trust
    check: IssuerCheck | None


def _judge(file: Path, asked: _Question, *, as_json: bool, show: bool) -> int:
    """Say whether a file verifies; return the exit code that its case has."""
    data = read_file(file, max(MAX_RECEIPT, MAX_KEPT) + 1)
    judge = None if asked.leaf is not None else judge_of(data)
    evidence = judge is not None
    try:
        if judge is not None:
            print_conviction(file, judge(data, asked.trust), as_json=as_json)
            return 1
        verified = _verify(data, asked.leaf, asked.trust)
        signed = None if asked.check is None else _signed(verified, asked.check)
    except NoTokenError as error:
        _print_failure(file, error, as_json=as_json, evidence=evidence)
        return 2
    except MerkleError as error:
        explain_stranger(error, asked.trust)
        _print_failure(file, error, as_json=as_json, evidence=evidence)
        return 1
    _print_success(file, verified, signed, as_json=as_json, show=show)
    return 0


def _issuer_check(
    file: Path | None, issuer: str | None, audiences: tuple[str, ...]
) -> IssuerCheck | None:
    if file is None:
        if issuer is not None or audiences:
            raise UsageError("--issuer and --audience go with --issuer-keys")
        return None
    try:
        keys = parse_keys(read_file(file, MAX_KEY_SET + 1))
    except MalformedError as error:
        raise UsageError(f"{file}: {error}") from None
    return IssuerCheck(keys, issuer, audiences)


def _signed(
    verified: VerifiedReceipt | VerifiedProof, check: IssuerCheck
) -> VerifiedSet:
    if not isinstance(verified, VerifiedReceipt):
        raise NoTokenError("a bare proof holds no signed token")
    return check.of(verified)


def _verify(
    data: bytes, leaf: bytes | None, trust: Trust
) -> VerifiedReceipt | VerifiedProof:
    if not data.startswith(HEADER.encode()):
        if leaf is not None:
            raise UsageError("--leaf is for tlog-proof files; a receipt holds its leaf")
        return verify_receipt(data, trust)
    if leaf is None:
        raise UsageError("a bare tlog-proof file needs its leaf: give it with --leaf")
    return verify_proof(data, leaf_hash(leaf), trust)


def _print_failure(
    file: Path, error: MerkleError | UsageError, *, as_json: bool, evidence: bool
) -> None:
    if as_json:
        known: dict[str, JsonValue] = {"convicted": False} if evidence else {}
        print_json({"file": str(file), "verified": False, **known, "error": str(error)})
    else:
        click.echo(f"FAILED  {printable(str(file))}: {printable(str(error))}")
        for each in getattr(error, "__notes__", ()):
            click.echo(f"        {printable(each)}")


def _print_success(
    file: Path,
    verified: VerifiedReceipt | VerifiedProof,
    signed: VerifiedSet | None,
    *,
    as_json: bool,
    show: bool,
) -> None:
    if as_json:
        summary = _summary(verified)
        if signed is not None:
            summary["token"] = _token_json(signed)
        if show and isinstance(verified, VerifiedReceipt):
            summary["members"] = {
                name: each.value for name, each in verified.disclosures.items()
            }
        print_json({"file": str(file), "verified": True, **summary})
        return
    first, *rest = _describe(verified)
    click.echo(f"ok      {printable(str(file))}: {first}")
    for line in rest:
        click.echo(f"        {line}")
    if signed is not None:
        click.echo(f"        {_token_line(signed)}")
    if show and isinstance(verified, VerifiedReceipt):
        print_json({name: each.value for name, each in verified.disclosures.items()})


def _summary(verified: VerifiedReceipt | VerifiedProof) -> dict[str, JsonValue]:
    if isinstance(verified, VerifiedReceipt):
        return receipt_summary(verified)
    checkpoint = verified.signed_checkpoint.checkpoint
    return {
        "origin": checkpoint.origin,
        "index": verified.index,
        "size": checkpoint.size,
    }


def _describe(verified: VerifiedReceipt | VerifiedProof) -> Iterator[str]:
    if isinstance(verified, VerifiedReceipt):
        yield from describe_receipt(verified)
    else:
        checkpoint = verified.signed_checkpoint.checkpoint
        origin = printable(checkpoint.origin)
        yield f"leaf {verified.index} of {origin}, a log of {checkpoint.size}"


def _token_json(signed: VerifiedSet) -> dict[str, JsonValue]:
    return {
        "issuer": signed.claims.iss,
        "jti": signed.claims.jti,
        "algorithm": signed.key.algorithm,
        "kid": signed.key.kid,
    }


def _token_line(signed: VerifiedSet) -> str:
    issuer, kid = printable(signed.claims.iss), signed.key.kid
    named = "a key without name" if kid is None else f"key {printable(kid)}"
    return f"its token was signed by {issuer}, with {named} ({signed.key.algorithm})"
