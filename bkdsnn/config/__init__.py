"""Reading configs: checks, roots, and the parts that several readers want."""
