"""Methods, tasks and data sets side by side."""
