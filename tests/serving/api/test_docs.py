"""The page /docs loads nothing from other sites."""

import base64
import hashlib
import re

import httpx2


def test_the_docs_load_nothing_from_elsewhere(client: httpx2.Client) -> None:
    page = client.get("/docs")
    assert re.findall(r"https?:|\"//|'//", page.text) == []
    scripts = re.findall(r"<script(.*?)>(.*?)</script>", page.text, flags=re.DOTALL)
    inline = [text for attributes, text in scripts if "src=" not in attributes]
    digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
    assert len(inline) == 1
    assert f"script-src 'self' 'sha256-{digest}';" in page.headers["content-security-policy"]
    assert re.findall(r"<[^>]+ on\w+=", page.text) == []
    own = re.findall(r"(?:src|href)=\"(.*?)\"", page.text)
    assert len(own) == 3
    for path in own:
        assert path.startswith("/docs-assets/")
        assert client.get(path).status_code == 200
    assert "/v1/identify" in client.get(re.findall(r"url: '(.*?)'", page.text)[0]).json()["paths"]
