"""Tests of the API; helpers below get the detailed messages of assertions in tests."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.http_client", f"{__name__}.asgi_client")
