"""First stage: any source into documents, search and links that share one integer id."""
