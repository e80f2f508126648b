"""What is judged: other people's code, put into the oracle's contract."""
