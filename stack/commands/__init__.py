"""The programs behind scripts/*.sh."""
