"""The conformance checks for backbones, shipped for the authors of plugins."""
