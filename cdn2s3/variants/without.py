"""without_variants.txt: which originals have no variant of which size, and why; a page shows the original then."""

from __future__ import annotations

from pathlib import Path

from cdn2s3.atomic_file import replacing
from cdn2s3.file_names import WITHOUT_VARIANTS_FILE
from cdn2s3.settings.variant_sizes import VariantSize
from cdn2s3.state.lines import encode
from cdn2s3.variants.originals import Originals
from cdn2s3.variants.record import SMALLER, FailedVariants, Variants

FAILED = "failed:"  # and the cause
NOT_TRIED = "not tried"


def write(
    state_dir: Path, originals: Originals, failed: FailedVariants, sizes: tuple[VariantSize, ...]
) -> int:
    """Replace the file by what holds at the end of a run; return its lines. Raise FatalError.

    A line is `url, key, size, why`: smaller (than the size), failed:CAUSE or not tried.
    """
    variants, causes, count = Variants(state_dir), failed.causes(), 0
    with replacing(state_dir / WITHOUT_VARIANTS_FILE) as file:
        for row in originals.rows():
            for size in sizes:
                made = variants.get(row.key, size.name)
                if made is not None and made.shows(size, row.md5, row.finished_at):
                    if made.how != SMALLER:
                        continue
                    why = SMALLER
                else:
                    cause = causes.of(row.key)
                    why = FAILED + cause if cause else NOT_TRIED
                file.write(encode((row.url, row.key, size.name, why)))
                count += 1
    return count
