"""Who may come in over TCP: tokens, log-in links, sessions of browsers, and the limit of wrong tries."""
