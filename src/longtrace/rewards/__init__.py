"""Rewards: is the answer right, which entities are named, and what is a response worth."""
