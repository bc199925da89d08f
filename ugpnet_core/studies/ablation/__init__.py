"""Ablations: trainings that differ from one base in named settings, measured side by side."""
