"""What each layer of an image brings, and what of that layers above hide."""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model.imageconfig import parse_config
from casstore.results.files import LayerUse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.flows.imagestack import Stack
    from casstore.model.digest import Digest
    from casstore.ports.blobs import Blobs
    from casstore.rules.hiddenfiles import LayerFiles


def layer_uses(blobs: Blobs, stack: Stack, counts: Sequence[LayerFiles]) -> list[LayerUse]:
    """What was counted of each layer, with the step of the history that made it.

    Raises Damaged: the config is missing or wrong.
    """
    steps = _steps(blobs, stack.config)
    missing = [""] * (len(counts) - len(steps))
    return [
        LayerUse(layer.digest, step, *count)
        for layer, step, count in zip(stack.layers, [*steps, *missing], counts, strict=False)
    ]


def _steps(blobs: Blobs, config: Digest | None) -> list[str]:
    """What made each layer, bottom first, as far as it is told."""
    if config is None:
        return []
    try:
        history = parse_config(blobs.read(config), config).history
    except Refused:  # files can be looked into without it
        return []
    return [step.created_by for step in history if not step.empty_layer]
