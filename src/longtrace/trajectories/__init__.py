"""Trajectories: what a search agent did for each question, step by step."""
