"""The nouns of the API as classes, whose methods are its verbs (for asyncio).

Written by `python -m banger.api.generate` from the API's table; not by hand.
"""
# fmt: off

from __future__ import annotations

from banger.client import calls
from banger.client.aio_methods import Bytes, Method, Room


class MachinesVerbs(Room):
    list = Method(calls.machines_list)
    create = Method(calls.machines_create)
    get = Method(calls.machines_get)
    delete = Method(calls.machines_delete)
    start = Method(calls.machines_start)
    stop = Method(calls.machines_stop)
    restart = Method(calls.machines_restart)
    kill = Method(calls.machines_kill)
    pause = Method(calls.machines_pause)
    resume = Method(calls.machines_resume)
    snapshot = Method(calls.machines_snapshot)
    restore = Method(calls.machines_restore)
    fork = Method(calls.machines_fork)
    commit = Method(calls.machines_commit)
    wait = Method(calls.machines_wait)
    health = Method(calls.machines_health)
    ping = Method(calls.machines_ping)
    stats = Method(calls.machines_stats)
    ports = Method(calls.machines_ports)
    change_network = Method(calls.machines_change_network)
    publish = Method(calls.machines_publish)
    unpublish = Method(calls.machines_unpublish)
    logs = Bytes(calls.machines_logs)
    execs = Method(calls.machines_execs)
    exec_detached = Method(calls.machines_exec_detached)
    get_exec = Method(calls.machines_get_exec)
    signal_exec = Method(calls.machines_signal_exec)
    wait_exec = Method(calls.machines_wait_exec)
    get_files = Bytes(calls.machines_get_files)
    put_files = Method(calls.machines_put_files)
    stat_file = Method(calls.machines_stat_file)


class ImagesVerbs(Room):
    list = Method(calls.images_list)
    pull = Method(calls.images_pull)
    import_tar = Method(calls.images_import_tar)
    tag = Method(calls.images_tag)
    register = Method(calls.images_register)
    export = Bytes(calls.images_export)
    prune = Method(calls.images_prune)
    prune_blobs = Method(calls.images_prune_blobs)
    offers = Method(calls.images_offers)
    get = Method(calls.images_get)
    delete = Method(calls.images_delete)
    log_in = Method(calls.images_log_in)
    log_out = Method(calls.images_log_out)


class KernelsVerbs(Room):
    list = Method(calls.kernels_list)
    pull = Method(calls.kernels_pull)
    offers = Method(calls.kernels_offers)
    get = Method(calls.kernels_get)
    delete = Method(calls.kernels_delete)


class CatalogsVerbs(Room):
    list = Method(calls.catalogs_list)
    add = Method(calls.catalogs_add)
    refresh = Method(calls.catalogs_refresh)
    publish = Method(calls.catalogs_publish)
    verify = Method(calls.catalogs_verify)
    remove = Method(calls.catalogs_remove)


class TemplatesVerbs(Room):
    list = Method(calls.templates_list)
    prune = Method(calls.templates_prune)
    get = Method(calls.templates_get)
    delete = Method(calls.templates_delete)


class SnapshotsVerbs(Room):
    list = Method(calls.snapshots_list)
    import_file = Method(calls.snapshots_import_file)
    get = Method(calls.snapshots_get)
    delete = Method(calls.snapshots_delete)
    export = Bytes(calls.snapshots_export)


class NetworksVerbs(Room):
    list = Method(calls.networks_list)
    prune = Method(calls.networks_prune)
    create = Method(calls.networks_create)
    get = Method(calls.networks_get)
    delete = Method(calls.networks_delete)
    connect = Method(calls.networks_connect)
    disconnect = Method(calls.networks_disconnect)


class SystemVerbs(Room):
    info = Method(calls.system_info)
    shutdown = Method(calls.system_shutdown)
    disk_usage = Method(calls.system_disk_usage)
    reconcile = Method(calls.system_reconcile)


class OperationsVerbs(Room):
    list = Method(calls.operations_list)
    get = Method(calls.operations_get)
    cancel = Method(calls.operations_cancel)
