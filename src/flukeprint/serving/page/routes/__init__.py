"""The routes of the page: documents, and fragments that its scripts put into them."""
