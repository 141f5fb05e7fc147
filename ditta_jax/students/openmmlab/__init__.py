"""OpenMMLab's SegFormer as a student: the same encoder, another decoder."""
