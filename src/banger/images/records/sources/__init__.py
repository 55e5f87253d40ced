"""Where an image's layers come from: a registry, a layout or archive on disk, a tar file, standard input.

registry         reference → blobs in the store
documents        an index → the manifest of one image
files            regular files and directories of this host
archive          the members of a tar file, read in place
layout           an OCI layout, in a directory or in an archive
docker_archive   the older form of what `docker save` writes
saved            the image in an archive, in either form
tarball          one tree as one layer
forms, marks     what kind of file it is, what kind of tar file
spool            streams and compressed files, in a file that can be read at any position
opening          the source that a source reference means

`disks.source` has the interface of a source.
"""
