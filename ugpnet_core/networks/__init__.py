"""The networks of UGPNet: restoration, synthesis and fusion modules, and the whole model."""
