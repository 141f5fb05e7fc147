"""A teacher without weights: optical flow."""
