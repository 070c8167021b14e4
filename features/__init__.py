"""Tables: contracts, readers, the store, profiles, and what may be seen when."""
