"""Images made of disks: layers, documents and archives for other tools."""
