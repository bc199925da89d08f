"""The page in a browser that ``ugpnet ui`` opens: one picture at a time, on this machine."""
