"""Training: GRPO by an unmodified TRL with our reward, on a tiny policy or on a user's model."""
