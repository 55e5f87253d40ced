"""The API as data: every verb once, with its request, result, errors and an example."""
