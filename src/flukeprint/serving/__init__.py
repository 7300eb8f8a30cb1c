"""The web server: the HTTP API and the web page that identify photographs."""
