"""The GraphQL nouns: types, inputs, scalars and their descriptions."""
