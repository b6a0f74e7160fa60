"""The check of `migrate.py --check` of the network: through which proxy each side is reached."""

from __future__ import annotations

from urllib.parse import urlsplit

from cdn2s3.commands.check_context import OK, CheckContext, CheckResult
from cdn2s3.errors import FatalError
from cdn2s3.http.proxies import are_named, proxy_for
from cdn2s3.url_prefixes import Prefixes


def check_proxies(context: CheckContext) -> list[CheckResult]:
    """Report the way to each source and to the bucket; nothing where the environment names no proxy.

    Raise UsageError for a proxy that cannot be used.
    """
    if not are_named():
        return []
    ways = [_way("source", origin) for origin in Prefixes(context.settings.url_prefix).origins]
    if context.settings.placement.uses_bucket:
        ways.append(_way("bucket", _endpoint(context)))
    return ways


def _way(side: str, url: str) -> CheckResult:
    proxy = proxy_for(url)
    how = f"through {proxy}" if proxy else "direct, without a proxy"
    return CheckResult(OK, "proxy", f"{side} {urlsplit(url).netloc}: {how}")


def _endpoint(context: CheckContext) -> str:
    """Return the bucket's address; that of its region as long as there are no credentials."""
    settings = context.settings
    try:
        return context.client.endpoint
    except FatalError:  # check_credentials reports it
        return settings.aws_endpoint_url or f"https://s3.{settings.aws_region}.amazonaws.com"
