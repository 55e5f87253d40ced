"""Resources of the host that banger holds: one file a kind, which says how it is recorded, found and released.

The records are rows of the store (`store.resources`), written before a resource is acquired. Teardown, reconcile,
doctor and the crash tests go by the list of kinds, and know none of them by name.
"""
