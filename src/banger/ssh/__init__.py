"""SSH to machines that have no server: this process speaks SSH on its standard files, and translates to the API."""
