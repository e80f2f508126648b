"""The lecture, experiment by experiment: each file reads like its slide, what they share is in `lab`."""
