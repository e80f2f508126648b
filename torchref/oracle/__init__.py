"""The oracle: holds hand-written layers, losses, optimisers and networks against torch."""
