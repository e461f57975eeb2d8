"""Other people's published weights."""
