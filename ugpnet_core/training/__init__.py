"""Training: the prior where asked for, then restoration, synthesis and fusion (paper 3.4, S.4)."""
