"""What was measured, as tables, figures and pages."""
