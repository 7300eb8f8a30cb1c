"""Serving an identifier over HTTP: the server, the service, the API and the web page."""
