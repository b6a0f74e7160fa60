"""The checks of `migrate.py --check` of the CDN: whether it has the first files, and how near its edge location is."""

from __future__ import annotations

from cdn2s3.cdn.client import Head
from cdn2s3.cdn.source_headers import WANTED, WANTS_HEADERS
from cdn2s3.collection.region_advice import nearest_region
from cdn2s3.commands.check_context import FAILED, OK, WARNING, CheckContext, CheckResult
from cdn2s3.console.rerun_hint import command


def check_source(context: CheckContext) -> list[CheckResult]:
    """Check each host of URL_PREFIX by the first of its URLs."""
    if any(context.heads.values()):
        return [_of_host(origin, answers) for origin, answers in context.heads.items()]
    if context.has_lines:
        said = f"no line of {context.settings.source_urls_file} is under {context.settings.url_prefix}"
        return [CheckResult(FAILED, "source", said, "correct URL_PREFIX")]
    return [CheckResult(WARNING, "source", "there is no URL to request", command("collect_urls.py"))]


def _of_host(origin: str, answers: list[Head]) -> CheckResult:
    if not answers:
        return CheckResult(OK, "source", f"{origin} was not asked: the list does not begin with URLs of it")
    last = answers[-1]
    if last.status == 200:
        size = "" if last.size is None else f", {last.size:,} bytes"
        said = f"{origin} answers 200{size}"
        if last.media_type.startswith("text/html"):
            return CheckResult(WARNING, "source", f"{said}, a web page (text/html)", "open one in a browser")
        return CheckResult(OK, "source", said)
    if last.status is None:
        return CheckResult(FAILED, "source", f"{origin} cannot be reached: {last.why}", f"curl -I {origin}/")
    redirected = next((head for head in answers if head.remedy), None)
    if redirected is not None:
        return CheckResult(FAILED, "source", f"{origin}: {redirected.why}", redirected.remedy)
    by = f"{origin}, or the proxy {last.proxy} before it," if last.proxy else origin
    said = f"{by} answered {', '.join(str(head.status) for head in answers)} for its first URLs"
    if all(head.status in WANTED for head in answers):
        remedy = (
            f"open one in a browser; {WANTS_HEADERS}; or ask the CDN's owner whether it refuses this address"
        )
        return CheckResult(FAILED, "source", said, remedy)
    return CheckResult(WARNING, "source", said, "open one in a browser; check URL_PREFIX")


def check_edge(context: CheckContext) -> list[CheckResult]:
    """Compare AWS_REGION with the region nearest to the edge location that responds here."""
    edge = next((head.edge for answers in context.heads.values() for head in answers if head.edge), "")
    if not edge:
        return []
    region = nearest_region(edge)
    mine = context.settings.aws_region
    if region is None:
        return [CheckResult(OK, "edge", f"{edge[:20]}, which is not in the table of edge locations")]
    said = f"{edge[:20]} responds here; the nearest region is {region}"
    if region == mine or context.settings.aws_endpoint_url:
        return [CheckResult(OK, "edge", said)]
    said += f"; AWS_REGION is {mine}. The edge location shows only where this machine is"
    return [CheckResult(WARNING, "edge", said, f"run this on an instance in the bucket's region, {mine}")]
