"""The stores: one module each, and what it says about itself as STORE."""

from __future__ import annotations

from tests.stores.servers import ceph, juicefs, localstack, moto, rclone, s3rver, seaweedfs, swift
from tests.stores.store import Store

_MODULES = (localstack, ceph, swift, seaweedfs, juicefs, rclone, moto, s3rver)
STORES: dict[str, Store] = {module.STORE.name: module.STORE for module in _MODULES}
