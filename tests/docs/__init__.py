"""The pages of the documentation: their code blocks, their translation."""
