"""What runs in the machine, for /bin/sh.

`/var/lib/banger/have/KEY` has the id that the base image KEY got in buildah's storage. `/build` is the work of one
build: it is there after a build that did not come to its end, and then buildah may have containers left.
"""

from __future__ import annotations

_BEGIN = """set -eu
export STORAGE_DRIVER=overlay BUILDAH_ISOLATION=chroot
have=/var/lib/banger/have
"""
# At this use of the disk, in percent, the cache goes.
_FULL = 60

# Arguments: keys of base images. Prints the keys that are missing.
PREPARE = f"""{_BEGIN}
mkdir -p "$have"
if [ -d /build ]; then
    buildah rm --all >&2
    rm -rf /build
fi
if [ "$(df --output=pcent / | tail -n 1 | tr -dc 0-9)" -gt {_FULL} ]; then
    rm -rf "$have"
    buildah rmi --all --force >&2
fi
mkdir -p "$have" /build/context /build/base
for key; do
    [ -e "$have/$key" ] || {{ mkdir -p "/build/base/$key"; echo "$key"; }}
done
"""

# Arguments: KEY NAME of each base image, "--", arguments of buildah.
BUILD = f"""{_BEGIN}
while [ "$1" != -- ]; do
    if [ -d "/build/base/$1" ]; then
        buildah pull --quiet "oci:/build/base/$1" > "/build/base/id"
        rm -rf "/build/base/$1"
        mv /build/base/id "$have/$1"
    fi
    buildah tag "$(cat "$have/$1")" "$2"
    shift 2
done
shift
exec buildah build --layers --pull=never --format docker --network host --identity-label=false \\
    --ignorefile /dev/null --file /build/Dockerfile --iidfile /build/id "$@" /build/context
"""

# Prints the image as an OCI layout in a tar archive.
EXPORT = f"""{_BEGIN}
rm -rf /build/context
id=$(cat /build/id)
buildah push --quiet --disable-compression "${{id#sha256:}}" oci:/build/out:latest >&2
tar -C /build/out -cf - oci-layout index.json blobs
rm -rf /build
"""
