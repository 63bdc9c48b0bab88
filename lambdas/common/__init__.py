"""What more than one function needs; the deployment zips it beside each handler."""
