"""The web page, in English and Spanish: HTML made by the server, and small scripts."""
