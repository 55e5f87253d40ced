"""The nouns and verbs of the command line, as data. The module of a verb is imported only when the verb is used.

An entry of a verb is its module, the name of its `Verb` there, and a line for overviews.
"""

from __future__ import annotations

Entry = tuple[str, str, str]

NOUNS: dict[str, dict[str, Entry]] = {
    "vm": {
        "run": ("run", "RUN", "run a command in a new machine"),
        "create": ("run", "CREATE", "make a machine without starting it"),
        "exec": ("execute", "EXEC", "run a command in a running machine"),
        "attach": ("execute", "ATTACH", "connect to a machine's main command"),
        "execs": ("observe", "EXECS", "list the commands in a machine"),
        "list": ("listing", "LIST", "list machines"),
        "show": ("listing", "SHOW", "show all about a machine"),
        "inspect": ("inspecting", "INSPECT", "print all about machines, images or networks as JSON"),
        "start": ("lifecycle", "START", "start machines"),
        "stop": ("lifecycle", "STOP", "shut machines down; kill them if that fails"),
        "restart": ("lifecycle", "RESTART", "stop machines and start them again"),
        "kill": ("lifecycle", "KILL", "kill machines, or signal their main command"),
        "pause": ("lifecycle", "PAUSE", "stop a machine's processors"),
        "resume": ("lifecycle", "RESUME", "let a paused machine continue"),
        "snapshot": ("freezing", "SNAPSHOT", "save a machine's memory and disk"),
        "restore": ("freezing", "RESTORE", "set a machine back to a snapshot"),
        "fork": ("freezing", "FORK", "make running copies of a running machine"),
        "commit": ("freezing", "COMMIT", "make an image of a machine's disk"),
        "diff": ("differences", "DIFF", "list the files that changed on a machine's disk"),
        "rename": ("changing", "RENAME", "give a machine another name"),
        "update": ("changing", "UPDATE", "change limits, size, restart policy or labels of machines"),
        "reset": ("changing", "RESET", "throw away all that changed on a machine's disk"),
        "delete": ("lifecycle", "DELETE", "delete machines and their disks"),
        "wait": ("lifecycle", "WAIT", "wait until machines stop, and print the exit codes of their commands"),
        "logs": ("logs", "LOGS", "print the output of a machine's command, or its console"),
        "cp": ("copy", "COPY", "copy files into a machine or out of it"),
        "export": ("copy", "EXPORT", "write all files of a machine as a tar archive"),
        "top": ("processes", "TOP", "list the processes in a machine"),
        "health": ("observe", "HEALTH", "check agent, init, clock and VMM"),
        "ping": ("observe", "PING", "measure round trips to the agent"),
        "stats": ("usage", "STATS", "show CPU, memory, disk and network use, live on a terminal"),
        "network": ("networking", "NETWORK", "show or change what a machine may reach"),
        "port": ("networking", "PORT", "publish ports of a machine on this host, or list them"),
        "ports": ("observe", "PORTS", "list the ports in a machine, and how to reach each"),
        "tunnel": ("tunnel", "TUNNEL", "connect to a port of a machine from here"),
        "ssh": ("ssh", "SSH", "log in to a machine, or run a command in it, with ssh"),
        "ssh-config": ("ssh", "SSH_CONFIG", "let ssh, scp, rsync and editors reach machines as NAME.banger"),
        "ssh-proxy": ("ssh", "SSH_PROXY", "speak SSH for a machine on stdin and stdout, for ssh itself"),
        "prune": ("pruning", "MACHINE_PRUNE", "delete all machines that do not run"),
    },
    "image": {
        "list": ("artifacts", "IMAGE_LIST", "list images"),
        "show": ("artifacts", "IMAGE_SHOW", "show all about an image"),
        "inspect": ("inspecting", "IMAGE_INSPECT", "print all about images as JSON"),
        "history": ("image_history", "HISTORY", "say when and from what an image was made"),
        "build": ("building", "BUILD", "build an image from a Dockerfile, in a machine"),
        "pull": ("images", "PULL", "fetch an image and make a disk of it"),
        "push": ("sending", "PUSH", "send an image to a registry"),
        "save": ("sending", "SAVE", "write images to an archive that other tools load"),
        "load": ("archives", "LOAD", "make images of an archive that another tool saved"),
        "import": ("archives", "IMPORT", "make an image of a tar archive with one file tree"),
        "catalog": ("catalogs", "IMAGE_CATALOG", "list the images that catalogs offer"),
        "search": ("catalogs", "IMAGE_SEARCH", "list the images of catalogs that contain words"),
        "tag": ("images", "TAG", "give an image another name"),
        "register": ("images", "REGISTER", "make an image of an existing ext4 disk"),
        "export": ("images", "EXPORT", "write an image's disk to a file"),
        "publish": ("publishing", "IMAGE_PUBLISH", "put an image into a catalog of your own"),
        "delete": ("artifacts", "IMAGE_DELETE", "delete images"),
        "prune": ("upkeep", "PRUNE", "remove disks that nothing uses"),
        "cache": ("upkeep", "CACHE", "remove the compressed layers of registries"),
        "login": ("registries", "LOGIN", "log in to a registry, and keep the password"),
        "logout": ("registries", "LOGOUT", "forget a registry's password"),
    },
    "kernel": {
        "list": ("artifacts", "KERNEL_LIST", "list kernels"),
        "show": ("artifacts", "KERNEL_SHOW", "show all about a kernel"),
        "pull": ("artifacts", "KERNEL_PULL", "fetch a kernel"),
        "catalog": ("catalogs", "KERNEL_CATALOG", "list the kernels that catalogs offer"),
        "publish": ("publishing", "KERNEL_PUBLISH", "put a kernel into a catalog of your own"),
        "delete": ("artifacts", "KERNEL_DELETE", "delete kernels"),
    },
    "catalog": {
        "list": ("catalogs", "LIST", "list catalogs in the order in which banger searches them"),
        "add": ("catalogs", "ADD", "add a catalog, and pin its key"),
        "remove": ("catalogs", "REMOVE", "remove catalogs; images and kernels pulled from them stay"),
        "refresh": ("catalogs", "REFRESH", "fetch the indexes of catalogs"),
        "verify": ("publishing", "VERIFY", "check a catalog of your own, as a reader would"),
    },
    "template": {
        "list": ("templates", "LIST", "list templates"),
        "show": ("templates", "SHOW", "show all about a template"),
        "delete": ("templates", "DELETE", "delete templates"),
        "prune": ("templates", "PRUNE", "remove templates that are stale or were not used for 30 days"),
    },
    "snapshot": {
        "list": ("snapshots", "LIST", "list snapshots"),
        "show": ("snapshots", "SHOW", "show all about a snapshot"),
        "delete": ("snapshots", "DELETE", "delete snapshots of a machine"),
        "export": ("snapshots", "EXPORT", "write a snapshot to a file"),
        "import": ("snapshots", "IMPORT", "read a snapshot from a file"),
    },
    "network": {
        "create": ("networks", "CREATE", "make a named network"),
        "list": ("networks", "LIST", "list named networks"),
        "show": ("networks", "SHOW", "show a network and the machines on it"),
        "inspect": ("inspecting", "NETWORK_INSPECT", "print all about networks as JSON"),
        "connect": ("networks", "CONNECT", "put a machine on a network, also while it runs"),
        "disconnect": ("networks", "DISCONNECT", "take a machine off a network, also while it runs"),
        "delete": ("networks", "DELETE", "delete networks that have no machines"),
        "prune": ("networks", "PRUNE", "delete all networks that have no machines"),
    },
    "compose": {
        "up": ("projects", "UP", "make the machines of a Compose file, and start them"),
        "down": ("projects", "DOWN", "stop and delete the machines and networks of a project"),
        "ps": ("projects", "PS", "list the machines of a project"),
        "logs": ("projects", "LOGS", "print the output of the services of a project"),
        "exec": ("projects", "EXEC", "run a command in a machine of a service"),
        "start": ("projects", "START", "start the machines of a project again"),
        "stop": ("projects", "STOP", "shut the machines of a project down"),
        "restart": ("projects", "RESTART", "stop the machines of a project and start them again"),
        "config": ("projects", "CONFIG", "check a Compose file, and print what it means"),
        "list": ("projects", "LIST", "list projects"),
    },
    "operation": {
        "list": ("operations", "LIST", "list operations, running and ended"),
        "show": ("operations", "SHOW", "show all about an operation"),
        "wait": ("operations", "WAIT", "show an operation's progress until it ends"),
        "cancel": ("operations", "CANCEL", "cancel an operation"),
    },
    "system": {
        "info": ("system", "INFO", "show the daemon, its directories, accelerators and drivers"),
        "version": ("system", "VERSION", "print the versions of this command and of the daemon"),
        "start": ("system", "START", "start the daemon"),
        "stop": ("system", "STOP", "stop the daemon; machines keep running"),
        "restart": ("system", "RESTART", "stop the daemon and start it again"),
        "df": ("upkeep", "DF", "show what uses disk space"),
        "prune": ("pruning", "PRUNE", "remove everything that nothing uses"),
        "events": ("events", "EVENTS", "print events, past and to come"),
        "ui": ("ui", "UI", "open the web page, and print a link that logs a browser in"),
        "mcp": ("mcp", "MCP", "serve sandboxes to agents, by the Model Context Protocol"),
        "reconcile": ("reconcile", "RECONCILE", "compare records with the host, and correct them"),
        "doctor": (
            "doctor",
            "DOCTOR",
            "check whether this host can run machines, and say how to fix what is missing",
        ),
    },
    "config": {
        "show": ("configuring", "SHOW", "show all settings, and where each comes from"),
        "set": ("configuring", "SET", "change a setting in config.toml"),
        "unset": ("configuring", "UNSET", "take settings out of config.toml, so that the defaults hold"),
        "edit": ("configuring", "EDIT", "open config.toml in an editor, and check it before it counts"),
    },
    "token": {
        "create": ("tokens", "CREATE", "make a token, and print its secret once"),
        "list": ("tokens", "LIST", "list tokens"),
        "revoke": ("tokens", "REVOKE", "revoke tokens"),
    },
    "completion": {
        "bash": ("completion", "BASH", "print the completion script for bash"),
        "zsh": ("completion", "ZSH", "print the completion script for zsh"),
        "fish": ("completion", "FISH", "print the completion script for fish"),
    },
}

NOUN_SUMMARIES = {
    "vm": "machines",
    "image": "root disks that machines start from",
    "kernel": "kernels that machines boot with",
    "catalog": "signed indexes of images and kernels",
    "template": "frozen machines that new ones start from",
    "snapshot": "saved states of machines",
    "network": "networks by which machines reach one another",
    "compose": "machines that a Compose file describes",
    "operation": "long work of the daemon",
    "system": "the daemon itself",
    "config": "settings, in config.toml",
    "token": "what programs show to use the API over TCP",
    "completion": "completion for shells",
}

VERB_ALIASES = {
    "rm": "delete",
    "ls": "list",
    "ps": "list",
    "copy": "cp",
    "inspect": "show",
    "unpause": "resume",
}
NOUN_ALIASES = {
    "machine": "vm",
    "container": "vm",
    "images": "image",
    "kernels": "kernel",
    "catalogs": "catalog",
    "templates": "template",
    "snapshots": "snapshot",
    "networks": "network",
    "tokens": "token",
    "op": "operation",
}

SHORT_FORMS = {
    "run": ("vm", "run"),
    "ps": ("vm", "list"),
    "exec": ("vm", "exec"),
    "logs": ("vm", "logs"),
    "stop": ("vm", "stop"),
    "start": ("vm", "start"),
    "rm": ("vm", "delete"),
    "cp": ("vm", "cp"),
    "create": ("vm", "create"),
    "attach": ("vm", "attach"),
    "restart": ("vm", "restart"),
    "kill": ("vm", "kill"),
    "wait": ("vm", "wait"),
    "pause": ("vm", "pause"),
    "unpause": ("vm", "resume"),
    "resume": ("vm", "resume"),
    "fork": ("vm", "fork"),
    "restore": ("vm", "restore"),
    "rename": ("vm", "rename"),
    "update": ("vm", "update"),
    "reset": ("vm", "reset"),
    "commit": ("vm", "commit"),
    "diff": ("vm", "diff"),
    "inspect": ("vm", "inspect"),
    "stats": ("vm", "stats"),
    "top": ("vm", "top"),
    "port": ("vm", "port"),
    "export": ("vm", "export"),
    "ssh": ("vm", "ssh"),
    "ssh-config": ("vm", "ssh-config"),
    "ssh-proxy": ("vm", "ssh-proxy"),
    "build": ("image", "build"),
    "pull": ("image", "pull"),
    "push": ("image", "push"),
    "save": ("image", "save"),
    "images": ("image", "list"),
    "history": ("image", "history"),
    "rmi": ("image", "delete"),
    "tag": ("image", "tag"),
    "load": ("image", "load"),
    "import": ("image", "import"),
    "search": ("image", "search"),
    "login": ("image", "login"),
    "logout": ("image", "logout"),
    "up": ("compose", "up"),
    "down": ("compose", "down"),
    "events": ("system", "events"),
    "info": ("system", "info"),
    "version": ("system", "version"),
    "df": ("system", "df"),
    "prune": ("system", "prune"),
    "doctor": ("system", "doctor"),
    "mcp": ("system", "mcp"),
    "ui": ("system", "ui"),
}
# Nouns that are a short form, too, where no verb follows: `banger snapshot dev tag`.
NOUN_SHORT_FORMS = {"snapshot": ("vm", "snapshot")}


# Options that may stand before the verb of a noun, as users of other programs write them, and their long forms. All of
# them take a value.
LEADING = {"compose": {"-f": "--file", "--file": "--file", "-p": "--project", "--project-name": "--project",
    "--project": "--project", "--env-file": "--env-file", "--profile": "--profile"}}  # fmt: skip


def find_noun(word: str) -> str | None:
    noun = NOUN_ALIASES.get(word, word)
    return noun if noun in NOUNS else None


def split_leading(noun: str, words: list[str]) -> tuple[list[str], list[str]]:
    """The options before a verb, in their long forms, and the verb with all that follows."""
    options, moved = LEADING.get(noun, {}), []
    while words and words[0].partition("=")[0] in options:
        name, equals, value = words[0].partition("=")
        moved += [f"{options[name]}={value}"] if equals else [options[name], *words[1:2]]
        words = words[1:] if equals else words[2:]
    return moved, words


def find_short_form(words: list[str]) -> tuple[str, str] | None:
    """The noun and verb that the first word means, unless it is a noun with a verb after it."""
    noun, next_word = find_noun(words[0]), "".join(words[1:2])
    if noun and find_verb(noun, next_word):
        return None
    if words[0] in NOUN_SHORT_FORMS and len(words) > 2 and next_word not in ("-h", "--help"):
        return NOUN_SHORT_FORMS[words[0]]
    return SHORT_FORMS.get(words[0])


def find_verb(noun: str, word: str) -> str | None:
    """The verb of `noun` that `word` or its long form names."""
    if word in NOUNS[noun]:
        return word
    verb = VERB_ALIASES.get(word, "")
    return verb if verb in NOUNS[noun] else None
