"""Starts the local cloud as `bin/ministack` does, but corrects it first: one file beside this for each correction.

The corrections replace private names of ministack, so they are for exactly one release of it.
"""

import importlib
import importlib.metadata
import sys

import addresses
import api_origins
import bucket_tags
import custom_resources
import distributions
import doors
import hello
import inert
import mocks
import nested_stacks
import objects
import pauses
import places
import proxy_events
import resolvers
import runtime_doors
import scalar_bodies
import secure
import unsigned
import uploads

RELEASE = "1.5.33"

# Those of what listens come last, the outermost at the end.
CORRECTIONS = [
    nested_stacks,
    bucket_tags,
    custom_resources,
    api_origins,
    mocks,
    inert,
    resolvers,
    scalar_bodies,
    hello,
    uploads,
    distributions,
    addresses,
    pauses,
    runtime_doors,
    doors,
    secure,
    proxy_events,
]


def main():
    try:
        installed = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        installed = "none"
    if installed != RELEASE:
        sys.exit(f"the local cloud must be ministack {RELEASE}, but {sys.prefix} has {installed}")
    # Imported before its parts, as it prepares what they need, e.g. logging.
    from ministack.app import main as serve

    # Without one of these names a correction would do nothing, or fail much later.
    parts = [*CORRECTIONS, objects, places, unsigned]
    uses = (item for part in parts for item in part.USES.items())
    wanted = ((module, name) for module, names in uses for name in names)
    missing = [f"{module}.{name}" for module, name in wanted if not hasattr(importlib.import_module(module), name)]
    if missing:
        sys.exit(f"the local cloud cannot be corrected: ministack {installed} in {sys.prefix} has no {', '.join(missing)}")
    for correction in CORRECTIONS:
        correction.apply()
    return serve()


if __name__ == "__main__":
    sys.exit(main())
