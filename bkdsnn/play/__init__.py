"""A page to play with the demo's networks; ``demo/app.py`` opens it."""
