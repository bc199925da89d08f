"""What is measured, as numbers."""
