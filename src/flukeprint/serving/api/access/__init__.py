"""Who may ask for what: host names, query parameters, people with tokens and their sessions."""
