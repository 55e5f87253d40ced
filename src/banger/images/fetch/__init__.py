"""OCI registries: their answers, checked; blobs, fetched into the blob store; credentials.

    settings            the configuration file: mirrors, private CAs, hosts with plain HTTP
    challenge           parsed WWW-Authenticate headers
    credentials         user names and passwords, where Docker and podman keep them
    credential_program  Docker's credential helpers
    login               log-in and log-out: credentials are stored, removed
    grants              Authorization headers that are still valid
    tokens              credentials and a challenge → an Authorization header
    lifeline            how a thread that waits for the network is told to stop
    failures, retries   what fails, and whether another attempt may help
    ranges              which addresses the text of a stranger may send us to
    proxies             the proxy for a host
    connections         urllib3's, under a lifeline
    transport           one HTTP exchange, with limits
    client              documents, log-in, which place is asked first
    download            one blob: resumed, tried again, verified

Importing the package loads none of it. Source: OCI distribution-spec.
"""
