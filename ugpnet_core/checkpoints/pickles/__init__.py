"""Pickles of torch, read without executing anything."""
