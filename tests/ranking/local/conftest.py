"""One thread for OpenCV: other tests run at the same time."""

import cv2
import pytest


@pytest.fixture(autouse=True)
def one_thread() -> None:
    cv2.setNumThreads(1)
