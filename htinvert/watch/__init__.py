"""A run seen live, in a browser on this machine or as text; it reads the store and nothing else."""
