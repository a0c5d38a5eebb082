"""Contexts: which documents stand round the gold ones, how many of them, and in what order.

`tiers` reads them off an agent's trajectory, `pack` fills a token budget, `render` makes the
prompt, `overlap` says how telling the distractors are, and `export` writes rows for a trainer.
"""
