"""Measuring restored images: figures, the protocol behind them, tables and files."""
