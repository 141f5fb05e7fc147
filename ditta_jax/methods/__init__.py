"""How a video is turned into labels: one file a method, behind one protocol."""
