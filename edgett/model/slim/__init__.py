"""Channels that contribute nothing, found exactly and removed with everything that reads them."""
