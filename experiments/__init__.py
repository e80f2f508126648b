"""Experiments: the one room that knows both wings. Data, training, TensorBoard and the command line."""
