"""One module a kind of resource, each with ``ensure``: create what is missing, update what differs, leave the rest."""
