"""How the nano SAM 2 was trained: its clips, its steps, its scores. Not in the wheel."""
