"""Several photographs of one encounter: their joint answer, and what time and place say of it."""
