"""Any table of photographs, with the column names of whoever made it, and folders by a pattern."""
