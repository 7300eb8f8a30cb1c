"""Network, gallery and threshold kept in one folder, and what is answered with them."""
