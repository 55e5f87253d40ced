"""OCI registries: what they answer, checked; blobs fetched into the blob store; credentials.

    settings     the configuration file: mirrors, private CAs, who may speak plain HTTP
    challenge    WWW-Authenticate, read
    credentials  where user names and passwords are kept, by Docker's and podman's rules
    tokens       credentials and a challenge become an Authorization header
    lifeline     how a thread that waits for the network is told to stop
    transport    one HTTP exchange, with limits; the only importer of urllib3
    client       manifests, blobs, mirrors, log-in
    download     one blob: resumed, tried again, verified

Importing the package loads none of it. Source: OCI distribution-spec.
"""
