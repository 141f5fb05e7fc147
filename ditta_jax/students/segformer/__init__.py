"""SegFormer: Mix Transformer encoder and all-MLP decoder."""
