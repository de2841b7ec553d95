"""Next-fit packing for mftkit; registered by an import string, so that listing plugins imports no numpy."""

import mftkit


@mftkit.hookimpl
def register_tokenization_modes(register):
    """Called by mftkit when it starts."""
    register(
        "next-fit", "mft_nextfit.mode:NextFit", summary="packs samples in the epoch's order, without sorting"
    )
