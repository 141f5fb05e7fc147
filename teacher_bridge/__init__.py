"""The PyTorch side: SAM 2 as teacher, behind a folder of requests and masklets."""
