"""From nearest photographs to ranked identities, without looking at right answers."""
