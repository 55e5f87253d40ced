"""Images as this host keeps them: pulled, named, listed, deleted; and the sources that they come from."""
