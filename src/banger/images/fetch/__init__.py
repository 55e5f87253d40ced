"""OCI registries: what they answer, checked; blobs fetched into the blob store; credentials.

    settings            the configuration file: mirrors, private CAs, who may speak plain HTTP
    challenge           WWW-Authenticate, read
    credentials         where user names and passwords are kept, by Docker's and podman's rules
    credential_program  Docker's credential helpers
    login               storing and erasing them
    grants              Authorization headers, while they last
    tokens              credentials and a challenge become such a header
    lifeline            how a thread that waits for the network is told to stop
    failures, retries   what goes wrong, and whether it is worth another attempt
    ranges              where addresses lead, and who may send us there
    proxies             through whom hosts are asked
    connections         urllib3's, under a lifeline
    transport           one HTTP exchange, with limits
    client              documents, log-in, who is asked in which order
    download            one blob: resumed, tried again, verified

Importing the package loads none of it. Source: OCI distribution-spec.
"""
