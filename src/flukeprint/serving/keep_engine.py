"""Choose and keep the engine of an identifier: python -m flukeprint.serving.keep_engine FOLDER.

`flukeprint serve` runs it apart, so that it need not import torch itself.
"""

import sys
from pathlib import Path

from flukeprint.identifier.identifier import Identifier
from flukeprint.output import say


def main(folder: Path) -> None:
    """Keep the engine of the identifier in `folder`, unless it is kept."""
    Identifier.load(folder).keep_engine(say)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
