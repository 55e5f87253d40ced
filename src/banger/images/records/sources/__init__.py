"""Where an image's layers come from: a registry, a layout or archive on disk, a tar file, standard input.

base             what a source can do
registry         reference → blobs in the store
documents        an OCI layout's index → a plan, wherever its blobs lie
oci_layout       blobs as files of a directory
archive          the members of a tar file, read where they lie
oci_archive      a layout in a tar file
docker_archive   what `docker save`, `podman save` and others write
saved            whichever of the two an archive is
tarball          one tree as one layer
forms, marks     what a file is, what a tar file is
spool            bytes that are in no file one could seek in
opening          which of them a source reference means
"""
