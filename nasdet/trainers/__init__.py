"""Trainers: searches within one training."""
