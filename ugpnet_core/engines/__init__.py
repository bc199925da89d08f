"""Other ways to compute what a model makes of a photograph: files that other programs run (ONNX,
torch.export), and clusters."""
