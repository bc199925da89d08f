"""Restoring images of any size, and files: tiling, the Restorer, batches."""
