"""The nouns: typed structs that the store, the API, the client and the CLI share. No I/O."""
