"""The AWS region nearest to the CloudFront edge location that responds here.

CloudFront names the edge location in `x-amz-cf-pop`: the IATA code of an airport near it, a number, a suffix
(SFO53-P1). EDGES are the codes in AWS's list of edge locations with their airports' coordinates, in degrees,
as collected by github.com/tobilg/aws-edge-locations (MIT), its current and its first table, read in November
2026; the coordinates are rounded here. REGIONS are the commercial regions that botocore 1.44 knows, at the
coordinates of the city that AWS names for each. China and GovCloud are other partitions: no account has both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from cdn2s3.collection import first_answer
from cdn2s3.settings.collection_settings import CollectionSettings

EARTH_RADIUS = 6371.0  # km

CAVEAT = (
    "Run this on the instance that will do the migration, because CloudFront responds from the edge location nearest "
    "to it. Anywhere else, ignore this advice. If you already have a bucket, use its region."
)

EDGES = """
    AKL -37.0 174.8, AMS 52.3 4.8, ARN 59.6 17.9, ATH 37.9 23.9, ATL 33.6 -84.4, BAH 26.3 50.6,
    BCN 41.3 2.1, BKK 13.7 100.8, BLR 13.2 77.7, BNA 36.1 -86.7, BNE -27.4 153.1, BOG 4.7 -74.2,
    BOM 19.1 72.9, BOS 42.4 -71.0, BRU 50.9 4.5, BUD 47.4 19.3, CCU 22.6 88.5, CDG 49.0 2.5,
    CGK -6.1 106.7, CMH 40.0 -82.9, CPH 55.6 12.7, CPT -34.0 18.6, DEL 28.6 77.1, DEN 39.9 -104.7,
    DFW 32.9 -97.0, DTW 42.2 -83.3, DUB 53.4 -6.3, DUS 51.3 6.8, DXB 25.2 55.4, EWR 40.7 -74.2,
    EZE -34.8 -58.5, FCO 41.8 12.2, FJR 25.1 56.3, FOR -3.8 -38.5, FRA 50.0 8.6, GIG -22.8 -43.2,
    GRU -23.4 -46.5, HAM 53.6 10.0, HAN 21.2 105.8, HEL 60.3 25.0, HIO 45.5 -123.0, HKG 22.3 113.9,
    HOU 29.6 -95.3, HWD 37.7 -122.1, HYD 17.2 78.4, IAD 38.9 -77.5, IAH 30.0 -95.3, ICN 37.5 126.5,
    IST 41.3 28.7, JAX 30.5 -81.7, JFK 40.6 -73.8, JNB -26.1 28.2, KIX 34.4 135.2, KUL 2.8 101.7,
    LAX 33.9 -118.4, LHR 51.5 -0.5, LIM -12.0 -77.1, LIS 38.8 -9.1, LOS 6.6 3.3, MAA 13.0 80.2,
    MAD 40.5 -3.6, MAN 53.4 -2.3, MCI 39.3 -94.7, MCT 23.6 58.3, MEL -37.7 144.8, MIA 25.8 -80.3,
    MNL 14.5 121.0, MRS 43.4 5.2, MSP 44.9 -93.2, MUC 48.4 11.8, MXP 45.6 8.7, NBO -1.3 36.9,
    NRT 35.8 140.4, ORD 42.0 -87.9, OSL 60.2 11.1, OTP 44.6 26.1, PAO 37.5 -122.1, PDX 45.6 -122.6,
    PEK 40.1 116.6, PER -31.9 116.0, PHL 39.9 -75.2, PHX 33.4 -112.0, PIT 40.5 -80.2, PMO 38.2 13.1,
    PNQ 18.6 73.9, PRG 50.1 14.3, PVG 31.1 121.8, QRO 20.6 -100.2, SCL -33.4 -70.8, SEA 47.5 -122.3,
    SFO 37.6 -122.4, SGN 10.8 106.7, SIN 1.4 104.0, SJC 37.4 -121.9, SLC 40.8 -112.0, SOF 42.7 23.4,
    SYD -34.0 151.2, SZX 22.6 113.8, TLV 32.0 34.9, TPA 28.0 -82.5, TPE 25.1 121.2, TXL 52.6 13.3,
    VIE 48.1 16.6, WAW 52.2 21.0, WMI 52.5 20.6, YTO 43.7 -79.6, YUL 45.5 -73.7, YVR 49.2 -123.2,
    ZAG 45.7 16.1, ZHY 37.6 105.2, ZRH 47.5 8.6
"""

REGIONS = """
    us-east-1 39.0 -77.5, us-east-2 40.0 -83.0, us-west-1 37.4 -122.0, us-west-2 45.8 -119.7,
    ca-central-1 45.5 -73.6, sa-east-1 -23.5 -46.6, eu-central-1 50.1 8.7, eu-west-1 53.3 -6.3,
    eu-west-2 51.5 -0.1, eu-west-3 48.9 2.4, eu-north-1 59.3 18.1, ap-south-1 19.1 72.9,
    ap-northeast-1 35.7 139.7, ap-northeast-2 37.6 127.0, ap-northeast-3 34.7 135.5,
    ap-southeast-1 1.3 103.8, ap-southeast-2 -33.9 151.2
"""

# Launched after March 20, 2019: an account has to enable them first (AWS Account Management Reference Guide).
OPT_IN_REGIONS = """
    af-south-1 -33.9 18.4, ap-east-1 22.3 114.2, ap-east-2 25.0 121.6, ap-south-2 17.4 78.5,
    ap-southeast-3 -6.2 106.8, ap-southeast-4 -37.8 145.0, ap-southeast-5 3.1 101.7,
    ap-southeast-6 -36.8 174.8, ap-southeast-7 13.8 100.5, ca-west-1 51.0 -114.1, eu-central-2 47.4 8.5,
    eu-south-1 45.5 9.2, eu-south-2 41.7 -0.9, il-central-1 32.1 34.8, me-central-1 25.2 55.3,
    me-south-1 26.2 50.6, mx-central-1 20.6 -100.4
"""


class Point(NamedTuple):
    """A place on the globe, in degrees."""

    latitude: float
    longitude: float


class Advice(NamedTuple):
    """Which region to use."""

    region: str
    reason: str  # one sentence or two
    doubt: str = ""  # what the answer to the first URL says against the list; empty: nothing
    is_wrong: bool = False  # so say the answers to the others that were asked for


def parsed(table: str) -> dict[str, Point]:
    """Return the places in a table of `name latitude longitude, …`."""
    rows = (row.split() for row in table.split(","))
    return {name: Point(float(latitude), float(longitude)) for name, latitude, longitude in rows}


def distance(a: Point, b: Point) -> float:
    """Return the great-circle distance of two places in km (haversine formula)."""
    latitude_a, latitude_b = math.radians(a.latitude), math.radians(b.latitude)
    half_chord = (
        math.sin((latitude_b - latitude_a) / 2) ** 2
        + math.cos(latitude_a)
        * math.cos(latitude_b)
        * math.sin(math.radians(b.longitude - a.longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS * math.asin(math.sqrt(half_chord))


def nearest_region(edge: str) -> str | None:
    """Return the AWS region nearest to an edge location, None when its code is not in the table.

    edge is the value of x-amz-cf-pop or its first three letters.
    """
    here = parsed(EDGES).get(edge[:3].upper())
    if here is None:
        return None
    regions = {**parsed(REGIONS), **parsed(OPT_IN_REGIONS)}
    return min(regions, key=lambda region: distance(here, regions[region]))


def advise(edge: str | None, default: str) -> Advice:
    """Return the region to recommend; edge is the response's x-amz-cf-pop, None if it had none."""
    if edge is None:
        return Advice(default, "The response names no CloudFront edge location, so this is DEFAULT_REGION.")
    region = nearest_region(edge)
    if region is None:
        return Advice(
            default, f"The edge location {edge[:20]} is not in the table, so this is DEFAULT_REGION."
        )
    opt_in = " You have to enable it in your account first." if region in parsed(OPT_IN_REGIONS) else ""
    return Advice(region, f"The region nearest to the CloudFront edge location {edge[:20]}.{opt_in}")


def recommended_region(urls: Sequence[str], settings: CollectionSettings) -> Advice:
    """Return the region to recommend after asking for the first of urls, and what else that has shown.

    urls are the first of the list, known to be under URL_PREFIX. Where one is not there, the next is asked for, too.
    """
    if not urls:
        return Advice(settings.default_region, "There is no URL to request, so this is DEFAULT_REGION.")
    answers = first_answer.until_one_is_there(urls, settings)
    answer = answers[0]
    if answer.status is None:
        return Advice(
            settings.default_region, f"The CDN did not answer ({answer.why}), so this is DEFAULT_REGION."
        )
    advice = advise(answer.edge, settings.default_region)
    return advice._replace(
        doubt=first_answer.doubt(answer, settings), is_wrong=first_answer.are_wrong(answers, settings)
    )
