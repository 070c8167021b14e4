"""Text only: cleaning, language, encoder, heads, and the scorer that joins them."""
