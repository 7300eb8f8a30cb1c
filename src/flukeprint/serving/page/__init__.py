"""The web page: a Dash application, in English and Spanish, that shows answers of the API."""
