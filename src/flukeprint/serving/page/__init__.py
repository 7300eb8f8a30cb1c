"""The web page: what the API answers enters, Dash components leave, in English and Spanish."""
