"""Resources of the host that banger holds: one file per kind, which says how a resource is recorded, found and
released.

The records are rows of the store (`store.resources`), written before a resource is acquired. Teardown, reconcile,
doctor and the crash tests use the list of kinds, and know no kind by name.
"""
