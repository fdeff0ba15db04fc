"""The forms in which weights may be held: `catalogue` lists them."""
