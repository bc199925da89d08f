"""The checks that only priors have: codes, ranges, random codes, the discriminator."""
