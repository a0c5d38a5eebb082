"""Questions: random walks over the link graph, written as chains of masked clues."""
