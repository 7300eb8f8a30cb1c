"""What a page of one HTML file is made of, so that it asks nothing of any other site."""

import base64
import hashlib
import json


def script_json(value: object) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def base64_text(data: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(data).decode()


def source_digest(code: bytes) -> str:
    """How a Content-Security-Policy names a script or style of the page itself."""
    return f"'sha256-{base64_text(hashlib.sha256(code).digest())}'"
