"""The GraphQL verbs: they translate and delegate."""
