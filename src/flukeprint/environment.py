"""Say what a run was made with: versions of packages that decide its numbers, and the machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from flukeprint import __version__

PACKAGES = (
    "torch", "timm", "lightning", "pytorch-metric-learning", "numpy", "pillow",
    "opencv-python-headless", "albumentations",
)  # fmt: skip


def environment() -> dict[str, str]:
    """Versions by package, and the machine; nothing that names it or its user."""
    found = {
        "flukeprint": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count() or "unknown"),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # another build of it, such as opencv-python
            found[package] = "unknown"
    return found
