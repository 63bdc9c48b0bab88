"""Share code between functions; the deployment zips this package beside each handler."""
