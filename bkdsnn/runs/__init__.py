"""Work directories of training runs, and their logs."""
