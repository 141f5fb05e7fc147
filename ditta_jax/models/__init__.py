"""The student: Mix Transformer, SegFormer decoder and temporal fusion module."""
