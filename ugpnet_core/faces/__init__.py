"""Faces in photographs: where they are, aligned as the portraits that priors are trained on."""
